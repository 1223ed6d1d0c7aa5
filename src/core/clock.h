// A stopwatch for the timings that answers report.
#pragma once

#include <chrono>

namespace qwenvl {

class Stopwatch {
 public:
  // Milliseconds since construction or the last restart, by a clock that never jumps.
  double milliseconds() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - start_).count();
  }
  // The same, and starts again.
  double restart() {
    const Clock::time_point now = Clock::now();
    const double elapsed = std::chrono::duration<double, std::milli>(now - start_).count();
    start_ = now;
    return elapsed;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace qwenvl
