// Where the library reports what is not an error: one sink for the whole process.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <utility>

namespace qwenvl {

enum class LogLevel { error, warning, info, debug };
const char* name_of(LogLevel level);

// Receives whole messages without a line end; called by one thread at a time. It must not log.
using LogSink = std::function<void(LogLevel level, const std::string& message)>;

// Replaces the sink; an empty one restores the default, lines on standard error.
void set_log_sink(LogSink sink);
// Messages beyond this level are dropped. At the start: QWENVL_LOG, or warning.
void set_log_level(LogLevel level);
bool is_logged(LogLevel level);

void write_log(LogLevel level, const std::string& message);

template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (is_logged(level)) write_log(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace qwenvl
