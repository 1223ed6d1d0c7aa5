// Reads quantization_config: which method, and the numbers its formats need.
// Before: config.json.   After: folder_source.cpp.
// Mirrors the quantisation settings that transformers, AutoAWQ and GPTQ tools save.
#include "checkpoint/foreign/scheme.h"

#include <nlohmann/json.hpp>

#include "core/check.h"

namespace qwenvl {
namespace {

using Json = nlohmann::json;
using Method = QuantizationScheme::Method;

constexpr int kMaxDepth = 64;  // what prints a value calls itself for each level

// One object of settings, every value checked when it is asked for.
class Settings {
 public:
  Settings(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  const std::string& where() const { return where_; }

  std::string text(const char* key, const std::string& otherwise) const {
    const Json& value = at(key);
    if (value.is_null()) return otherwise;
    if (!value.is_string()) wrong(key, value, "a text");
    return value.get<std::string>();
  }
  std::int64_t integer(const char* key, std::int64_t low, std::int64_t high) const {
    const Json& value = at(key);
    if (value.is_null()) fail(ErrorKind::bad_file, "{}: '{}' is missing", where_, key);
    const bool is_small = value.is_number_integer() &&
                          (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT32_MAX);
    if (!is_small || value.get<std::int64_t>() < low || value.get<std::int64_t>() > high) {
      wrong(key, value, fmt::format("a whole number from {} to {}", low, high));
    }
    return value.get<std::int64_t>();
  }
  bool boolean(const char* key, bool otherwise) const {
    const Json& value = at(key);
    if (value.is_null()) return otherwise;
    if (!value.is_boolean()) wrong(key, value, "true or false");
    return value.get<bool>();
  }
  [[noreturn]] void refuse(const char* key, const std::string& found,
                           const std::string& expected) const {
    fail(ErrorKind::unsupported, "{}: '{}' is {}, expected {}", where_, key, quoted(found),
         expected);
  }

 private:
  const Json& at(const char* key) const {
    static const Json none;
    const auto found = json_.find(key);
    return found == json_.end() ? none : *found;
  }
  [[noreturn]] void wrong(const char* key, const Json& found, const std::string& expected) const {
    fail(ErrorKind::bad_file, "{}: '{}' is {}, expected {}", where_, key,
         quoted(found.dump(-1, ' ', true, Json::error_handler_t::replace), 40), expected);
  }

  const Json& json_;
  std::string where_;
};

Json parse_object(const std::string& text, const std::string& where) {
  const auto check = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth)
      fail(ErrorKind::bad_file, "{}: nested deeper than {} levels", where, kMaxDepth);
    return true;
  };
  Json json = Json::parse(text, check, false);
  if (!json.is_object()) fail(ErrorKind::bad_file, "{}: is no JSON object", where);
  return json;
}

// -1, or how many columns share a scale.
std::int64_t group_size(const Settings& settings) {
  const std::int64_t size = settings.integer("group_size", -1, 1 << 20);
  if (size == 0) settings.refuse("group_size", "0", "-1 or a number of columns");
  return size;
}

QuantizationScheme parse_awq(const Settings& settings) {
  const std::string version = settings.text("version", "gemm");
  if (version != "gemm" && version != "GEMM") {
    settings.refuse("version", version, "'gemm'; save the model in that layout");
  }
  if (const auto bits = settings.integer("bits", 1, 64); bits != 4) {
    settings.refuse("bits", std::to_string(bits), "4");
  }
  return {Method::awq, 4, group_size(settings), false};
}

QuantizationScheme parse_gptq(const Settings& settings) {
  const auto bits = settings.integer("bits", 1, 64);
  if (bits != 4 && bits != 8) settings.refuse("bits", std::to_string(bits), "4 or 8");
  // Absent in files of the time when there was one format only.
  const std::string format = settings.text("checkpoint_format", "gptq");
  if (format != "gptq" && format != "gptq_v2") {
    settings.refuse("checkpoint_format", format, "'gptq' or 'gptq_v2'; save the model as one");
  }
  return {Method::gptq, static_cast<int>(bits), group_size(settings), format == "gptq"};
}

QuantizationScheme parse_bitsandbytes(const Settings& settings) {
  const bool is_4 = settings.boolean("load_in_4bit", false);
  const bool is_8 = settings.boolean("load_in_8bit", false);
  if (is_4 == is_8) {
    settings.refuse("load_in_4bit", is_4 ? "true, as load_in_8bit" : "false, as load_in_8bit",
                    "one of them true");
  }
  return {Method::bitsandbytes, is_4 ? 4 : 8, -1, false};
}

}  // namespace

QuantizationScheme parse_quantization(const std::string& config_json,
                                      const std::string& quantize_json, const std::string& where) {
  const std::string config_where = where + "/config.json";
  const Json config = parse_object(config_json, config_where);
  const auto found = config.find("quantization_config");
  if (found == config.end() || found->is_null()) {
    if (quantize_json.empty()) return {};
    const std::string file = where + "/quantize_config.json";
    const Json settings = parse_object(quantize_json, file);
    return parse_gptq(Settings(settings, file));
  }
  if (!found->is_object()) {
    fail(ErrorKind::bad_file, "{}: 'quantization_config' is {}, expected an object", config_where,
         found->type_name());
  }
  const Settings settings(*found, config_where + ": quantization_config");
  const std::string method = settings.text("quant_method", "");
  if (method == "awq") return parse_awq(settings);
  if (method == "gptq") return parse_gptq(settings);
  if (method == "bitsandbytes") return parse_bitsandbytes(settings);
  settings.refuse("quant_method", method, "'awq', 'gptq' or 'bitsandbytes'");
}

}  // namespace qwenvl
