// The log sink. Everything in the library that has something to say without failing ends here.
#include "core/log.h"

#include <atomic>
#include <cstdio>
#include <mutex>

#include "core/settings.h"
#include "qwenvl/error.h"

namespace qwenvl {
namespace {

void write_to_stderr(LogLevel level, const std::string& message) {
  std::fprintf(stderr, "qwenvl: %s: %s\n", name_of(level), message.c_str());
}

struct Log {
  std::mutex mutex;
  LogSink sink = write_to_stderr;
  std::atomic<LogLevel> level{LogLevel::warning};

  Log() {
    // Reporting must not fail because the setting for it is wrong; check_settings() refuses that.
    try {
      const std::string value = setting("QWENVL_LOG").value_or("warning");
      for (LogLevel each : {LogLevel::error, LogLevel::info, LogLevel::debug}) {
        if (value == name_of(each)) level = each;
      }
    } catch (const Error& error) {
      write_to_stderr(LogLevel::warning, error.what());
    }
  }
};

Log& the_log() {
  static Log log;
  return log;
}

}  // namespace

const char* name_of(LogLevel level) {
  switch (level) {
    case LogLevel::error: return "error";
    case LogLevel::warning: return "warning";
    case LogLevel::info: return "info";
    case LogLevel::debug: return "debug";
  }
  return "?";
}

void set_log_sink(LogSink sink) {
  Log& log = the_log();
  const std::lock_guard lock(log.mutex);
  log.sink = sink ? std::move(sink) : LogSink(write_to_stderr);
}

void set_log_level(LogLevel level) { the_log().level = level; }

bool is_logged(LogLevel level) { return level <= the_log().level.load(std::memory_order_relaxed); }

void write_log(LogLevel level, const std::string& message) {
  Log& log = the_log();
  if (!is_logged(level)) return;
  const std::lock_guard lock(log.mutex);
  log.sink(level, message);
}

}  // namespace qwenvl
