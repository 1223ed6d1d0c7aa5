// Measures what this machine can do at most: reading memory, and multiplying numbers in registers
// (with the instructions of the table that QWENVL_ISA forces, when it does).
// Before: engine/bench/bench.cpp wants a limit to compare with.   After: its report.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "core/thread_pool.h"

namespace qwenvl::cpu {

// Everything in 10⁹ a second, of all threads together.
struct ProbeReading {
  double read_gbps = 0;
  double int8_gops = 0;
  double bf16_gops = 0;  // with f32 sums; of f32 where the machine has no bf16 products
  double f32_gops = 0;
};

// The names of the loops that were run, for the report.
struct ProbeLoops {
  std::string read, int8, bf16, f32;
};

class Probe {
 public:
  // A buffer of about `buffer_bytes`, touched at once, so that reading it later never waits for the
  // system; it should be larger than the caches. n_threads at least 1.
  Probe(int n_threads, std::size_t buffer_bytes);
  ~Probe();
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  // The best of several short passes; about `seconds` in all for each of the four figures.
  ProbeReading measure(double seconds);
  ProbeLoops loops() const;
  std::size_t buffer_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qwenvl::cpu
