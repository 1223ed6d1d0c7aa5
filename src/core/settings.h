// Every environment variable the program reads, in one table (settings.cpp).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace qwenvl {

struct Setting {
  const char* name;
  const char* meaning;
  const char* allowed;  // in words, for messages and help
  bool (*is_allowed)(std::string_view value);
};

// All settings, in the order of their names.
std::span<const Setting> all_settings();

// The value of a setting of the table; none when it is unset or empty. Throws bad_request when the
// value is not allowed.
std::optional<std::string> setting(std::string_view name);

// Throws bad_request when the environment holds a QWENVL_… variable that does not exist (a typing
// error would otherwise be ignored in silence) or one with a value that is not allowed.
void check_settings();

}  // namespace qwenvl
