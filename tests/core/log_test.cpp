// The log: levels, and a sink of one's own.
#include "core/log.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/clock.h"

namespace qwenvl {
namespace {

TEST(Log, MessagesUpToTheLevelReachTheSink) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel level, const std::string& message) {
    lines.push_back(std::string(name_of(level)) + ": " + message);
  });
  set_log_level(LogLevel::info);
  log(LogLevel::error, "{} is wrong", "x");
  log(LogLevel::info, "done");
  log(LogLevel::debug, "not shown");
  set_log_level(LogLevel::warning);
  log(LogLevel::info, "not shown");
  set_log_sink({});
  EXPECT_EQ(lines, (std::vector<std::string>{"error: x is wrong", "info: done"}));
}

TEST(Stopwatch, NeverRunsBackwards) {
  Stopwatch stopwatch;
  const double first = stopwatch.milliseconds();
  EXPECT_GE(first, 0);
  EXPECT_GE(stopwatch.milliseconds(), first);
  EXPECT_GE(stopwatch.restart(), first);
}

}  // namespace
}  // namespace qwenvl
