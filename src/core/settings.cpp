// The table of QWENVL_… environment variables. Before: the process environment. After: whoever asks
// for a setting by name; the command line checks all of them first.
#include "core/settings.h"

#include <algorithm>
#include <cstdlib>

#include "core/check.h"

extern "C" char** environ;

namespace qwenvl {
namespace {

constexpr std::string_view kPrefix = "QWENVL_";

bool is_any(std::string_view value) { return !value.empty(); }

// Lower-case letters, digits, "_" and "-": what names of instruction sets are made of. Which of
// them exist is known to the back end only.
bool is_word(std::string_view value) {
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '_' ||
           letter == '-';
  });
}

bool is_log_level(std::string_view value) {
  return value == "error" || value == "warning" || value == "info" || value == "debug";
}

bool is_thread_count(std::string_view value) {
  const bool is_number = !value.empty() && value.size() <= 3 && value.front() != '0' &&
                         std::all_of(value.begin(), value.end(),
                                     [](char digit) { return digit >= '0' && digit <= '9'; });
  return is_number && std::stoi(std::string(value)) <= 512;
}

constexpr Setting kSettings[] = {
    {"QWENVL_ISA", "forces one table of CPU kernels instead of the best usable one",
     "a kernel name that `qwenvl inspect` lists", is_word},
    {"QWENVL_LOG", "how much is reported on standard error", "error, warning, info or debug",
     is_log_level},
    {"QWENVL_MODEL", "the model of the command line when --model is not given",
     "a folder, a repository id or demo", is_any},
    {"QWENVL_THREADS", "threads used when the options do not say", "1 to 512", is_thread_count},
    {"QWENVL_TRACE", "folder that every named intermediate result is written to", "a folder",
     is_any},
};

const Setting* find_setting(std::string_view name) {
  const auto at = std::find_if(std::begin(kSettings), std::end(kSettings),
                               [&](const Setting& entry) { return name == entry.name; });
  return at == std::end(kSettings) ? nullptr : at;
}

void check_value(const Setting& entry, std::string_view value) {
  if (value.empty() || entry.is_allowed(value)) return;
  fail(ErrorKind::bad_request, "environment: {} is {}, expected {} ({})", entry.name, quoted(value),
       entry.allowed, entry.meaning);
}

}  // namespace

std::span<const Setting> all_settings() { return kSettings; }

std::optional<std::string> setting(std::string_view name) {
  const Setting* entry = find_setting(name);
  QWENVL_CHECK(entry, "{} is not in the table of settings", quoted(name));
  const char* value = std::getenv(entry->name);
  if (!value || !*value) return {};
  check_value(*entry, value);
  return value;
}

void check_settings() {
  for (char** at = environ; at && *at; ++at) {
    const std::string_view line = *at;
    if (!line.starts_with(kPrefix)) continue;
    const std::size_t equals = std::min(line.find('='), line.size());
    const std::string_view name = line.substr(0, equals);
    const Setting* entry = find_setting(name);
    if (!entry) {
      std::string names;
      for (const Setting& known : kSettings)
        names += (names.empty() ? "" : ", ") + std::string(known.name);
      fail(ErrorKind::bad_request, "environment: {} is not a setting, expected one of {}",
           quoted(name), names);
    }
    check_value(*entry, line.substr(std::min(equals + 1, line.size())));
  }
}

}  // namespace qwenvl
