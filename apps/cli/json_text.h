// JSON for people and scripts alike.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace qwenvl::cli {

// Indented; bytes that are not UTF-8 (file names may hold any) become U+FFFD.
inline std::string json_text(const nlohmann::ordered_json& value) {
  return value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace qwenvl::cli
