// What is measured: one entry per stage, each run again in every round.
// Before: bench.cpp probes the machine.   After: bench_model.h, and the public Engine.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/bench/bench_model.h"

namespace qwenvl {

// One run of a stage.
struct BenchSample {
  double milliseconds = 0;
  std::vector<BenchPhase> phases;  // one after the other; empty: nothing bounds this stage
  double n_units = 0;              // done in that time
  std::vector<std::pair<std::string, double>> more;
  std::string description, logits_hash;
};

struct BenchStageKind {
  const char* name;
  const char* rate_unit;  // n_units a second
  BenchSample (*run)(BenchModel& model, const BenchOptions& options);
};

// All but memory, in the order of a round.
const std::vector<BenchStageKind>& bench_stage_kinds();

// Runs one request in an engine of its own and watches this process.
MemoryBench measure_memory(const BenchOptions& options);

}  // namespace qwenvl
