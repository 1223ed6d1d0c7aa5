// Reading a JSON object field by field, every value checked, every complaint naming its place.
// For .cpp files only: it exposes the JSON library.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"

namespace qwenvl {

// A JSON document of configuration size. Throws bad_file when it is not an object or holds a key
// twice.
nlohmann::json parse_json_object(const std::string& text, const std::string& where);

class JsonFields {
 public:
  // `object` must outlive this; `where` is "config.json" or "config.json: vision_config".
  JsonFields(const nlohmann::json& object, std::string where)
      : object_(&object), where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  bool has(const char* key) const { return find(key) != nullptr; }

  // The object under `key`; nothing when absent or null.
  std::optional<JsonFields> object(const char* key) const {
    const nlohmann::json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_object()) wrong(key, *value, "an object");
    return JsonFields(*value, where_ + ": " + key);
  }

  std::optional<std::int64_t> integer(const char* key, std::int64_t low, std::int64_t high) const {
    const nlohmann::json* value = find(key);
    if (!value) return std::nullopt;
    return checked_integer(key, *value, low, high);
  }

  std::optional<double> number(const char* key, double low, double high) const {
    const nlohmann::json* value = find(key);
    if (!value) return std::nullopt;
    return checked_number(key, *value, low, high);
  }

  std::optional<bool> boolean(const char* key) const {
    const nlohmann::json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_boolean()) wrong(key, *value, "true or false");
    return value->get<bool>();
  }

  std::optional<std::string> text(const char* key) const {
    const nlohmann::json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_string()) wrong(key, *value, "a string");
    return value->get<std::string>();
  }

  // A list of integers; a single integer counts as a list of one when `one_is_enough`.
  std::optional<std::vector<std::int64_t>> integers(const char* key, std::int64_t low,
                                                    std::int64_t high,
                                                    bool one_is_enough = false) const {
    const nlohmann::json* value = find(key);
    if (!value) return std::nullopt;
    if (one_is_enough && !value->is_array()) return {{checked_integer(key, *value, low, high)}};
    if (!value->is_array() || value->size() > 4096) wrong(key, *value, "a list of integers");
    std::vector<std::int64_t> out;
    for (const auto& item : *value) out.push_back(checked_integer(key, item, low, high));
    return out;
  }

  std::optional<std::vector<double>> numbers(const char* key, double low, double high) const {
    const nlohmann::json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_array() || value->size() > 4096) wrong(key, *value, "a list of numbers");
    std::vector<double> out;
    for (const auto& item : *value) out.push_back(checked_number(key, item, low, high));
    return out;
  }

  // The value of a field that must be there.
  template <class T>
  T required(const char* key, std::optional<T> value) const {
    if (!value) fail(ErrorKind::bad_file, "{}: '{}' is missing", where_, key);
    return *value;
  }

 private:
  const nlohmann::json* find(const char* key) const {
    const auto found = object_->find(key);
    return found == object_->end() || found->is_null() ? nullptr : &*found;
  }

  [[noreturn]] void wrong(const char* key, const nlohmann::json& value,
                          const std::string& expected) const {
    fail(ErrorKind::bad_file, "{}: '{}' is {}, expected {}", where_, key,
         quoted(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), 60),
         expected);
  }

  std::int64_t checked_integer(const char* key, const nlohmann::json& value, std::int64_t low,
                               std::int64_t high) const {
    const std::string expected = fmt::format("an integer from {} to {}", low, high);
    if (!value.is_number_integer()) wrong(key, value, expected);
    if (value.is_number_unsigned() &&
        value.get<std::uint64_t>() >
            static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      wrong(key, value, expected);
    }
    const std::int64_t number = value.get<std::int64_t>();
    if (number < low || number > high) wrong(key, value, expected);
    return number;
  }

  double checked_number(const char* key, const nlohmann::json& value, double low,
                        double high) const {
    const std::string expected = fmt::format("a number from {} to {}", low, high);
    if (!value.is_number()) wrong(key, value, expected);
    const double number = value.get<double>();
    if (!(number >= low && number <= high)) wrong(key, value, expected);
    return number;
  }

  const nlohmann::json* object_;
  std::string where_;
};

}  // namespace qwenvl
