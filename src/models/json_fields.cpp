// A JSON object read field by field.
// Before: the text of a configuration file.   After: config.cpp and generation_settings.cpp.
#include "models/json_fields.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

namespace qwenvl {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 64;  // keeps everything that walks the document shallow
constexpr std::size_t kMaxListLength = 4096;

std::string shown(const Json& value) {
  return quoted(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60);
}

std::optional<std::int64_t> as_integer(const Json& value, std::int64_t low, std::int64_t high) {
  if (!value.is_number_integer()) return std::nullopt;
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > kMost) return std::nullopt;
  const std::int64_t number = value.get<std::int64_t>();
  if (number < low || number > high) return std::nullopt;
  return number;
}

std::optional<double> as_number(const Json& value, double low, double high) {
  if (!value.is_number()) return std::nullopt;
  const double number = value.get<double>();
  if (!(number >= low && number <= high)) return std::nullopt;
  return number;
}

std::string integer_range(std::int64_t low, std::int64_t high) {
  return fmt::format("an integer from {} to {}", low, high);
}

std::string number_range(double low, double high) {
  return fmt::format("a number from {} to {}", low, high);
}

// Every item of a list through `convert`; nothing when it is no list, too long, or an item does not
// fit.
template <class T, class Convert>
std::optional<std::vector<T>> as_list(const Json& value, const Convert& convert) {
  if (!value.is_array() || value.size() > kMaxListLength) return std::nullopt;
  std::vector<T> out;
  for (const Json& item : value) {
    const std::optional<T> converted = convert(item);
    if (!converted) return std::nullopt;
    out.push_back(*converted);
  }
  return out;
}

}  // namespace

struct JsonFields::Node {
  std::shared_ptr<const Json> document;
  const Json* object;

  const Json* find(const char* key) const {
    const auto found = object->find(key);
    return found == object->end() || found->is_null() ? nullptr : &*found;
  }
};

JsonFields::JsonFields(std::shared_ptr<const Node> node, std::string where)
    : node_(std::move(node)), where_(std::move(where)) {}

JsonFields JsonFields::parse(const std::string& text, const std::string& where) {
  std::vector<std::set<std::string>> keys;  // of the objects around the present place
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kMaxDepth)
      fail(ErrorKind::bad_file, "{}: nested deeper than {} levels", where, kMaxDepth);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      fail(ErrorKind::bad_file, "{}: {} is there twice, expected once", where,
           quoted(value.get<std::string>()));
    }
    return true;
  };
  std::shared_ptr<const Json> document;
  try {
    document = std::make_shared<const Json>(Json::parse(text, check));
  } catch (const Json::exception& e) {
    fail(ErrorKind::bad_file, "{}: not valid JSON: {}", where, quoted(e.what(), 200));
  }
  if (!document->is_object()) {
    fail(ErrorKind::bad_file, "{}: is {}, expected an object", where, document->type_name());
  }
  const Json* object = document.get();
  return JsonFields(std::make_shared<const Node>(Node{std::move(document), object}), where);
}

void JsonFields::wrong(const char* key, const std::string& expected) const {
  fail(ErrorKind::bad_file, "{}: '{}' is {}, expected {}", where_, key, shown(*node_->find(key)),
       expected);
}

bool JsonFields::has(const char* key) const { return node_->find(key) != nullptr; }

std::optional<JsonFields> JsonFields::object(const char* key) const {
  const Json* value = node_->find(key);
  if (!value) return std::nullopt;
  if (!value->is_object()) wrong(key, "an object");
  return JsonFields(std::make_shared<const Node>(Node{node_->document, value}),
                    where_ + ": " + key);
}

std::optional<std::int64_t> JsonFields::integer(const char* key, std::int64_t low,
                                                std::int64_t high) const {
  const Json* value = node_->find(key);
  if (!value) return std::nullopt;
  const auto number = as_integer(*value, low, high);
  if (!number) wrong(key, integer_range(low, high));
  return number;
}

std::optional<double> JsonFields::number(const char* key, double low, double high) const {
  const Json* value = node_->find(key);
  if (!value) return std::nullopt;
  const auto number = as_number(*value, low, high);
  if (!number) wrong(key, number_range(low, high));
  return number;
}

std::optional<bool> JsonFields::boolean(const char* key) const {
  const Json* value = node_->find(key);
  if (!value) return std::nullopt;
  if (!value->is_boolean()) wrong(key, "true or false");
  return value->get<bool>();
}

std::optional<std::string> JsonFields::text(const char* key) const {
  const Json* value = node_->find(key);
  if (!value) return std::nullopt;
  if (!value->is_string()) wrong(key, "a string");
  return value->get<std::string>();
}

std::optional<std::vector<std::string>> JsonFields::texts(const char* key) const {
  const Json* value = node_->find(key);
  if (!value) return std::nullopt;
  auto list = as_list<std::string>(*value, [](const Json& item) {
    return item.is_string() ? std::optional(item.get<std::string>()) : std::nullopt;
  });
  if (!list) wrong(key, "a list of strings");
  return list;
}

std::optional<std::vector<std::int64_t>> JsonFields::integers(const char* key, std::int64_t low,
                                                              std::int64_t high,
                                                              bool one_is_enough) const {
  const Json* value = node_->find(key);
  if (!value) return std::nullopt;
  if (one_is_enough && !value->is_array()) return {{*integer(key, low, high)}};
  auto list =
      as_list<std::int64_t>(*value, [&](const Json& item) { return as_integer(item, low, high); });
  if (!list) wrong(key, "a list, each " + integer_range(low, high));
  return list;
}

std::optional<std::vector<double>> JsonFields::numbers(const char* key, double low,
                                                       double high) const {
  const Json* value = node_->find(key);
  if (!value) return std::nullopt;
  auto list = as_list<double>(*value, [&](const Json& item) { return as_number(item, low, high); });
  if (!list) wrong(key, "a list, each " + number_range(low, high));
  return list;
}

std::optional<std::string> JsonFields::json(const char* key) const {
  const Json* value = node_->find(key);
  if (!value) return std::nullopt;
  return value->dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace qwenvl
