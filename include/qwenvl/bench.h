// Measures a model on this machine, and the machine itself beside it: a speed alone says little,
// its share of what the machine can do says whether anything is left to gain.
//
//   auto report = qwenvl::bench_model({.engine = {.model = "Qwen/Qwen2.5-VL-3B-Instruct"}});
//   for (const auto& stage : report.stages) std::cout << stage.name << ' ' << stage.median_ms;
//
// Before and after every run of a stage a probe reads memory and multiplies in registers on the
// same threads. Every call throws qwenvl::Error.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "qwenvl/engine.h"

namespace qwenvl {

// ---- the machine -----------------------------------------------------------------------------

// In 10⁹ a second, all threads together; a multiplication and an addition are two operations.
struct ProbeFigures {
  double read_gbps = 0;  // memory, with a buffer larger than the usual caches
  double int8_gops = 0;  // 8-bit products summed in 32 bits
  double bf16_gops = 0;  // bf16 products summed in float32 (float32 ones where there are none)
  double f32_gops = 0;
};

struct MachineBench {
  std::string cpu;
  int n_threads = 0;
  std::int64_t buffer_bytes = 0;                          // that was read
  std::string read_loop, int8_loop, bf16_loop, f32_loop;  // the instructions that were used
  std::vector<ProbeFigures> all_threads, one_thread;      // one per round
};

struct MachineBenchOptions {
  int n_threads = 0;  // 0: every core this process may use
  int n_rounds = 3;
  double probe_seconds = 0.25;          // of each of the four figures
  std::int64_t buffer_bytes = 1 << 30;  // at most a quarter of the memory available is taken
};

// What is being measured now: "round 2 of 3: decode".
using BenchProgress = std::function<void(const std::string& what)>;

MachineBench bench_machine(const MachineBenchOptions& options, const BenchProgress& on_progress);

// ---- a model ---------------------------------------------------------------------------------

struct BenchOptions {
  EngineOptions engine;             // its vision cache is not used: nothing is seen twice
  std::vector<std::string> stages;  // names of bench_stage_names(), in any order; empty: all
  int n_rounds = 3;
  int n_prompt_tokens = 350;   // of prefill, decode and verify
  int n_answer_tokens = 64;    // of decode and of each answer in batch; at least 2
  int n_batch = 8;             // pictures of batch
  int n_memory_tokens = 2048;  // prompt and answer of memory; 0: as few as the picture needs
  double probe_seconds = 0.12;
  std::int64_t probe_buffer_bytes = 1 << 30;
};

struct BenchRound {
  double milliseconds = 0;
  double share = 0;       // of what the probes beside it allow, 0 … 1; 0 where there is no limit
  bool is_steady = true;  // the probes before and after allow times within 15 % of each other
  ProbeFigures before, after;
};

struct BenchStage {
  std::string name;
  std::string description;         // sizes and token counts, as they were
  std::vector<BenchRound> rounds;  // in order of time; stages alternate within a round
  int n_steady = 0;                // the figures below come from these rounds, or from all if none
  double min_ms = 0, median_ms = 0;
  double rate = 0;        // at the median, in rate_unit
  std::string rate_unit;  // "tokens/s"; "" where there is none
  double gbps = 0;        // bytes that have to be read / median
  double gops = 0;        // operations that have to be computed / median
  double floor_ms = 0;    // the least time the probes allow, median; 0 where there is no limit
  double share = 0;       // of the limit: floor / time, median
  std::string limit;      // what bounds the floor: "memory", "int8", "bf16", "float32", "mixed"
  std::vector<std::pair<std::string, double>> more;  // "ms for one row" → 42, medians
  std::string logits_hash;  // XXH3 (64 bit) of the first logits; "" where none are compared
};

struct MemoryBench {
  bool is_measured = false;
  int n_tokens = 0;                  // prompt and answer
  std::int64_t planned_bytes = 0;    // the peak that plan_memory gives for these
  std::int64_t peak_bytes = 0;       // most ever resident (VmHWM), mapped weights included
  std::int64_t anonymous_bytes = 0;  // most seen that no file backs (RssAnon)
};

struct BenchReport {
  std::string model;    // the folder
  std::string kernels;  // "cpu/avx512"
  int n_threads = 0;
  std::int64_t vision_bytes = 0, decoder_bytes = 0, head_bytes = 0;  // of weights
  std::string vision_arithmetic, decoder_arithmetic;  // the limit taken: "int8", "bf16", "float32"
  MachineBench machine;  // names of the loops; no figures of one thread
  MemoryBench memory;
  std::vector<BenchStage> stages;
};

// load, preprocess-512, …, batch, memory: in the order they run.
std::vector<std::string> bench_stage_names();

BenchReport bench_model(const BenchOptions& options, const BenchProgress& on_progress);

}  // namespace qwenvl
