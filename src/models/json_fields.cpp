#include "models/json_fields.h"

namespace qwenvl {

nlohmann::json parse_json_object(const std::string& text, const std::string& where) {
  constexpr int kMaxDepth = 64;  // keeps recursive visitors of the result shallow
  const auto limit_depth = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > kMaxDepth) fail(ErrorKind::bad_file, "{}: nested deeper than {} levels", where, kMaxDepth);
    return true;
  };
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(text, limit_depth);
  } catch (const nlohmann::json::exception& e) {
    fail(ErrorKind::bad_file, "{}: not valid JSON: {}", where, quoted(e.what(), 200));
  }
  if (!object.is_object()) fail(ErrorKind::bad_file, "{}: is {}, expected an object", where, object.type_name());
  return object;
}

}  // namespace qwenvl
