// The public benchmark: rounds of stages, each between two probes, and what they come to.
// Before: apps/cli/bench.cpp asks.   After: bench_stages.cpp runs, backend/cpu/probe/probe.cpp
// compares.
#include "qwenvl/bench.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_features.h"
#include "backend/cpu/probe/probe.h"
#include "core/check.h"
#include "core/settings.h"
#include "engine/bench/bench_stages.h"
#include "engine/engine_options.h"
#include "engine/guard.h"
#include "engine/machine.h"

namespace qwenvl {
namespace {

constexpr const char* kMemoryStage = "memory";
constexpr double kSteadyWithin = 0.15;  // relative difference of the two probes' floors

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    fail(ErrorKind::bad_request, "{}: found {}, expected {} to {}", name, value, low, high);
  }
}

std::size_t probe_buffer(std::int64_t wanted) {
  check_range("probe_buffer_bytes", static_cast<double>(wanted), 1 << 20, 1e12);
  const std::uint64_t room = std::max<std::uint64_t>(available_memory_bytes() / 4, 1 << 22);
  return static_cast<std::size_t>(
      std::min<std::uint64_t>(static_cast<std::uint64_t>(wanted), room));
}

ProbeFigures figures(const cpu::ProbeReading& reading) {
  return {reading.read_gbps, reading.int8_gops, reading.bf16_gops, reading.f32_gops};
}

MachineBench describe(const cpu::Probe& probe, int n_threads) {
  MachineBench machine;
  machine.cpu = cpu::cpu_name();
  machine.n_threads = n_threads;
  machine.buffer_bytes = static_cast<std::int64_t>(probe.buffer_bytes());
  const cpu::ProbeLoops loops = probe.loops();
  machine.read_loop = loops.read;
  machine.int8_loop = loops.int8;
  machine.bf16_loop = loops.bf16;
  machine.f32_loop = loops.f32;
  return machine;
}

struct Floor {
  double milliseconds = 0;
  double memory_ms = 0, int8_ms = 0, bf16_ms = 0, f32_ms = 0;  // of the binding side of each phase
};

// Each phase is bound by reading or by computing, whichever takes longer.
Floor floor_of(const std::vector<BenchPhase>& phases, const ProbeFigures& probe) {
  Floor floor;
  for (const BenchPhase& phase : phases) {
    const double memory = phase.bytes / (probe.read_gbps * 1e6) * phase.repeats;
    const double int8 = phase.int8_ops / (probe.int8_gops * 1e6) * phase.repeats;
    const double bf16 = phase.bf16_ops / (probe.bf16_gops * 1e6) * phase.repeats;
    const double f32 = phase.f32_ops / (probe.f32_gops * 1e6) * phase.repeats;
    const double computing = int8 + bf16 + f32;
    floor.milliseconds += std::max(memory, computing);
    if (memory > computing) {
      floor.memory_ms += memory;
    } else {
      floor.int8_ms += int8;
      floor.bf16_ms += bf16;
      floor.f32_ms += f32;
    }
  }
  return floor;
}

// The bound that makes up most of the floor; "mixed" when none makes up two thirds.
std::string limit_of(const Floor& floor) {
  if (floor.milliseconds <= 0) return "";
  const std::pair<const char*, double> parts[] = {{"memory", floor.memory_ms},
                                                  {"int8", floor.int8_ms},
                                                  {"bf16", floor.bf16_ms},
                                                  {"float32", floor.f32_ms}};
  for (const auto& [name, milliseconds] : parts) {
    if (milliseconds >= floor.milliseconds * 2 / 3) return name;
  }
  return "mixed";
}

BenchRound round_of(const BenchSample& sample, const ProbeFigures& before,
                    const ProbeFigures& after) {
  BenchRound round;
  round.milliseconds = sample.milliseconds;
  round.before = before;
  round.after = after;
  const double first = floor_of(sample.phases, before).milliseconds;
  const double second = floor_of(sample.phases, after).milliseconds;
  round.share = (first + second) / 2 / sample.milliseconds;
  round.is_steady = std::abs(first - second) <= kSteadyWithin * std::min(first, second);
  return round;
}

// Figures over the steady rounds; over all when there is none.
void summarise(BenchStage& stage, const std::vector<BenchSample>& samples) {
  stage.n_steady = static_cast<int>(std::count_if(stage.rounds.begin(), stage.rounds.end(),
                                                  [](const BenchRound& r) { return r.is_steady; }));
  std::vector<double> times, shares, floors;
  std::vector<std::vector<double>> more(samples[0].more.size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const BenchRound& round = stage.rounds[i];
    if (stage.n_steady > 0 && !round.is_steady) continue;
    times.push_back(round.milliseconds);
    shares.push_back(round.share);
    floors.push_back(round.share * round.milliseconds);
    for (std::size_t j = 0; j < more.size(); ++j) more[j].push_back(samples[i].more[j].second);
  }
  stage.min_ms = *std::min_element(times.begin(), times.end());
  stage.median_ms = median(times);
  stage.share = median(shares);
  stage.floor_ms = median(floors);
  for (std::size_t j = 0; j < more.size(); ++j)
    stage.more.emplace_back(samples[0].more[j].first, median(more[j]));

  const BenchSample& sample = samples[0];
  stage.description = sample.description;
  stage.rate = sample.n_units / stage.median_ms * 1e3;
  for (const BenchPhase& phase : sample.phases) {
    stage.gbps += phase.bytes * phase.repeats / stage.median_ms * 1e-6;
    stage.gops += phase.operations() * phase.repeats / stage.median_ms * 1e-6;
  }
  stage.limit = limit_of(floor_of(sample.phases, stage.rounds[0].before));
  stage.logits_hash = sample.logits_hash;
  for (const BenchSample& other : samples) {
    if (other.logits_hash == sample.logits_hash) continue;
    fail(ErrorKind::internal, "bench: the logits of {} were {} in one round and {} in another",
         stage.name, sample.logits_hash, other.logits_hash);
  }
}

// The kinds that were asked for, in the order of a round.
std::vector<const BenchStageKind*> chosen_kinds(const BenchOptions& options, bool& wants_memory) {
  const std::vector<std::string> names = bench_stage_names();
  for (const std::string& stage : options.stages) {
    if (std::find(names.begin(), names.end(), stage) != names.end()) continue;
    fail(ErrorKind::bad_request, "stages: found {}, expected some of {}", quoted(stage),
         fmt::join(names, ", "));
  }
  const auto is_wanted = [&](const std::string& name) {
    return options.stages.empty() ||
           std::find(options.stages.begin(), options.stages.end(), name) != options.stages.end();
  };
  std::vector<const BenchStageKind*> kinds;
  for (const BenchStageKind& kind : bench_stage_kinds()) {
    if (is_wanted(kind.name)) kinds.push_back(&kind);
  }
  wants_memory = is_wanted(kMemoryStage);
  return kinds;
}

void check(const BenchOptions& o) {
  check_range("n_rounds", o.n_rounds, 1, 1000);
  check_range("n_prompt_tokens", o.n_prompt_tokens, 1, 1e6);
  check_range("n_answer_tokens", o.n_answer_tokens, 2, 1e6);
  check_range("n_batch", o.n_batch, 1, 1024);
  check_range("n_memory_tokens", o.n_memory_tokens, 0, 1e6);
  check_range("probe_seconds", o.probe_seconds, 0, 10);
}

void run_rounds(const BenchOptions& options, const std::vector<const BenchStageKind*>& kinds,
                BenchModel& model, BenchReport& report, const BenchProgress& on_progress) {
  cpu::Probe probe(report.n_threads, probe_buffer(options.probe_buffer_bytes));
  report.machine = describe(probe, report.n_threads);
  std::vector<std::vector<BenchSample>> samples(kinds.size());
  for (const BenchStageKind* kind : kinds) {
    BenchStage& stage = report.stages.emplace_back();
    stage.name = kind->name;
    stage.rate_unit = kind->rate_unit;
  }
  ProbeFigures before = figures(probe.measure(options.probe_seconds));
  report.machine.all_threads.push_back(before);
  for (int round = 0; round < options.n_rounds; ++round) {
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      if (on_progress)
        on_progress(fmt::format("round {} of {}: {}", round + 1, options.n_rounds, kinds[i]->name));
      samples[i].push_back(kinds[i]->run(model, options));
      const ProbeFigures after = figures(probe.measure(options.probe_seconds));
      report.stages[i].rounds.push_back(round_of(samples[i].back(), before, after));
      report.machine.all_threads.push_back(after);
      before = after;
    }
  }
  for (std::size_t i = 0; i < kinds.size(); ++i) summarise(report.stages[i], samples[i]);
}

BenchReport report_of(BenchOptions options, const BenchProgress& on_progress) {
  check_settings();
  check(options);
  bool wants_memory = false;
  const std::vector<const BenchStageKind*> kinds = chosen_kinds(options, wants_memory);
  options.engine.vision_cache_bytes = 0;
  BenchReport report;
  report.n_threads = thread_count(options.engine.n_threads);
  if (wants_memory) {  // before anything else takes memory
    if (on_progress) on_progress(kMemoryStage);
    report.memory = measure_memory(options);
  }
  BenchModel model(options.engine);
  model.fill(report);
  if (!kinds.empty()) run_rounds(options, kinds, model, report, on_progress);
  return report;
}

MachineBench machine_report(const MachineBenchOptions& options, const BenchProgress& on_progress) {
  check_settings();
  check_range("n_rounds", options.n_rounds, 1, 1000);
  check_range("probe_seconds", options.probe_seconds, 0, 10);
  const int n_threads = thread_count(options.n_threads);
  const std::size_t buffer = probe_buffer(options.buffer_bytes) / 2;
  cpu::Probe all(n_threads, buffer), one(1, buffer);
  MachineBench machine = describe(all, n_threads);
  for (int round = 0; round < options.n_rounds; ++round) {
    if (on_progress) on_progress(fmt::format("round {} of {}", round + 1, options.n_rounds));
    machine.all_threads.push_back(figures(all.measure(options.probe_seconds)));
    machine.one_thread.push_back(figures(one.measure(options.probe_seconds)));
  }
  return machine;
}

}  // namespace

std::vector<std::string> bench_stage_names() {
  std::vector<std::string> names;
  for (const BenchStageKind& kind : bench_stage_kinds()) names.push_back(kind.name);
  names.push_back(kMemoryStage);
  return names;
}

MachineBench bench_machine(const MachineBenchOptions& options, const BenchProgress& on_progress) {
  return guarded([&] { return machine_report(options, on_progress); });
}

BenchReport bench_model(const BenchOptions& options, const BenchProgress& on_progress) {
  return guarded([&] { return report_of(options, on_progress); });
}

}  // namespace qwenvl
