#include "models/json_fields.h"

#include <set>

namespace qwenvl {

nlohmann::json parse_json_object(const std::string& text, const std::string& where) {
  constexpr int kMaxDepth = 64;             // keeps recursive visitors of the result shallow
  std::vector<std::set<std::string>> keys;  // of the objects around the present place
  const auto check = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    if (depth > kMaxDepth)
      fail(ErrorKind::bad_file, "{}: nested deeper than {} levels", where, kMaxDepth);
    if (event == nlohmann::json::parse_event_t::object_start) keys.emplace_back();
    if (event == nlohmann::json::parse_event_t::object_end) keys.pop_back();
    if (event == nlohmann::json::parse_event_t::key &&
        !keys.back().insert(value.get<std::string>()).second) {
      fail(ErrorKind::bad_file, "{}: {} is there twice, expected once", where,
           quoted(value.get<std::string>()));
    }
    return true;
  };
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(text, check);
  } catch (const nlohmann::json::exception& e) {
    fail(ErrorKind::bad_file, "{}: not valid JSON: {}", where, quoted(e.what(), 200));
  }
  if (!object.is_object())
    fail(ErrorKind::bad_file, "{}: is {}, expected an object", where, object.type_name());
  return object;
}

}  // namespace qwenvl
