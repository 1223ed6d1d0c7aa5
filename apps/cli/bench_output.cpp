// Benchmarks as a table and as JSON.
#include "bench_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "terminal.h"

namespace qwenvl::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Range {
  double min = 0, median = 0, max = 0;
};

Range range_of(const std::vector<ProbeFigures>& readings, double ProbeFigures::*figure) {
  std::vector<double> values;
  for (const ProbeFigures& reading : readings) values.push_back(reading.*figure);
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[values.size() / 2], values.back()};
}

struct ProbeLine {
  const char* what;
  const char* unit;
  const std::string& loop;
  double ProbeFigures::*figure;
};

std::vector<ProbeLine> lines_of(const MachineBench& machine) {
  return {{"memory read", "GB/s", machine.read_loop, &ProbeFigures::read_gbps},
          {"int8 products", "GOP/s", machine.int8_loop, &ProbeFigures::int8_gops},
          {"bf16 products", "GOP/s", machine.bf16_loop, &ProbeFigures::bf16_gops},
          {"float32 products", "GOP/s", machine.f32_loop, &ProbeFigures::f32_gops}};
}

std::string time_text(double milliseconds) {
  if (milliseconds >= 10e3) return fmt::format("{:.2f} s", milliseconds / 1e3);
  return fmt::format("{:.{}f} ms", milliseconds, milliseconds >= 100 ? 0 : 2);
}

std::string or_dash(bool is_there, const std::string& text) { return is_there ? text : "–"; }

// fmt pads by code points, so that a dash of three bytes takes one place.
std::string stage_line(const BenchStage& stage) {
  const int n_rounds = static_cast<int>(stage.rounds.size());
  return fmt::format(
      "{:<17} {:>11} {:>11}  {:>24} {:>8} {:>9} {:>6} {:<8} {}\n", stage.name,
      time_text(stage.min_ms), time_text(stage.median_ms),
      or_dash(!stage.rate_unit.empty(), fmt::format("{:.2f} {}", stage.rate, stage.rate_unit)),
      or_dash(stage.gbps > 0, fmt::format("{:.2f}", stage.gbps)),
      or_dash(stage.gops > 0, fmt::format("{:.1f}", stage.gops)),
      or_dash(stage.share > 0, fmt::format("{:.1f} %", 100 * stage.share)),
      stage.share > 0 ? stage.limit : "", fmt::format("{}/{}", stage.n_steady, n_rounds));
}

std::string memory_lines(const MemoryBench& memory) {
  if (!memory.is_measured) return "";
  return fmt::format(
      "\nmemory: {:.3f} GB resident at most, {:.3f} GB of it not backed by files ({} tokens); "
      "planned "
      "{:.3f} GB\n",
      static_cast<double>(memory.peak_bytes) / 1e9,
      static_cast<double>(memory.anonymous_bytes) / 1e9, memory.n_tokens,
      static_cast<double>(memory.planned_bytes) / 1e9);
}

Json json_of(const ProbeFigures& figures) {
  return {{"read_gbps", figures.read_gbps},
          {"int8_gops", figures.int8_gops},
          {"bf16_gops", figures.bf16_gops},
          {"float32_gops", figures.f32_gops}};
}

Json json_of(const std::vector<ProbeFigures>& readings) {
  Json out = Json::array();
  for (const ProbeFigures& reading : readings) out.push_back(json_of(reading));
  return out;
}

Json json_of(const BenchStage& stage) {
  Json rounds = Json::array();
  for (const BenchRound& round : stage.rounds) {
    rounds.push_back({{"ms", round.milliseconds},
                      {"share", round.share},
                      {"steady", round.is_steady},
                      {"before", json_of(round.before)},
                      {"after", json_of(round.after)}});
  }
  Json more = Json::object();
  for (const auto& [name, value] : stage.more) more[name] = value;
  return {{"name", stage.name},         {"description", stage.description},
          {"min_ms", stage.min_ms},     {"median_ms", stage.median_ms},
          {"rate", stage.rate},         {"rate_unit", stage.rate_unit},
          {"gbps", stage.gbps},         {"gops", stage.gops},
          {"floor_ms", stage.floor_ms}, {"share", stage.share},
          {"limit", stage.limit},       {"steady_rounds", stage.n_steady},
          {"more", std::move(more)},    {"logits_hash", stage.logits_hash},
          {"rounds", std::move(rounds)}};
}

}  // namespace

std::string table_of(const MachineBench& machine) {
  std::string out = fmt::format("{}, {} threads, reading {} MiB\n\n", printable(machine.cpu),
                                machine.n_threads, machine.buffer_bytes >> 20);
  const bool has_one = !machine.one_thread.empty();
  out += fmt::format("{:<17} {:>26}{:>28}   {}\n", "", "all threads: min / median / max",
                     has_one ? "one thread" : "", "with");
  for (const ProbeLine& line : lines_of(machine)) {
    const auto text = [&](const std::vector<ProbeFigures>& readings) {
      const Range range = range_of(readings, line.figure);
      return readings.empty() ? std::string()
                              : fmt::format("{:.1f} / {:.1f} / {:.1f} {}", range.min, range.median,
                                            range.max, line.unit);
    };
    out += fmt::format("{:<17} {:>31} {:>32}   {}\n", line.what, text(machine.all_threads),
                       text(machine.one_thread), line.loop);
  }
  return out;
}

std::string table_of(const BenchReport& report) {
  std::string out = fmt::format("{}, {}, {} threads\n", printable(report.model), report.kernels,
                                report.n_threads);
  out +=
      fmt::format("weights: vision {:.3f} GB ({}), decoder {:.3f} GB and head {:.3f} GB ({})\n\n",
                  static_cast<double>(report.vision_bytes) / 1e9, report.vision_arithmetic,
                  static_cast<double>(report.decoder_bytes) / 1e9,
                  static_cast<double>(report.head_bytes) / 1e9, report.decoder_arithmetic);
  if (!report.stages.empty()) {
    out += fmt::format("{:<17} {:>11} {:>11}  {:>24} {:>8} {:>9} {:>6} {:<8} {}\n", "", "least",
                       "median", "rate", "GB/s", "GOP/s", "share", "of", "steady");
    for (const BenchStage& stage : report.stages) out += stage_line(stage);
    out += "\n";
    for (const BenchStage& stage : report.stages) {
      out += fmt::format("{}: {}\n", stage.name, stage.description);
      for (const auto& [name, value] : stage.more) out += fmt::format("  {} {:.2f}\n", name, value);
      if (!stage.logits_hash.empty())
        out += fmt::format("  hash of the first logits {}\n", stage.logits_hash);
    }
  }
  out += memory_lines(report.memory);
  if (report.machine.all_threads.empty()) return out;
  return out + "\nThe machine, between the stages\n" + table_of(report.machine);
}

Json json_of(const MachineBench& machine) {
  Json out = {
      {"cpu", printable(machine.cpu)},        {"threads", machine.n_threads},
      {"buffer_bytes", machine.buffer_bytes}, {"read_loop", machine.read_loop},
      {"int8_loop", machine.int8_loop},       {"bf16_loop", machine.bf16_loop},
      {"float32_loop", machine.f32_loop},     {"all_threads", json_of(machine.all_threads)}};
  if (!machine.one_thread.empty()) out["one_thread"] = json_of(machine.one_thread);
  return out;
}

Json json_of(const BenchReport& report) {
  Json stages = Json::array();
  for (const BenchStage& stage : report.stages) stages.push_back(json_of(stage));
  Json out = {{"model", report.model},
              {"kernels", report.kernels},
              {"threads", report.n_threads},
              {"vision_bytes", report.vision_bytes},
              {"decoder_bytes", report.decoder_bytes},
              {"head_bytes", report.head_bytes},
              {"vision_arithmetic", report.vision_arithmetic},
              {"decoder_arithmetic", report.decoder_arithmetic},
              {"stages", std::move(stages)}};
  if (report.memory.is_measured) {
    out["memory"] = {{"tokens", report.memory.n_tokens},
                     {"peak_bytes", report.memory.peak_bytes},
                     {"anonymous_bytes", report.memory.anonymous_bytes},
                     {"planned_bytes", report.memory.planned_bytes}};
  }
  if (!report.machine.all_threads.empty()) out["machine"] = json_of(report.machine);
  return out;
}

}  // namespace qwenvl::cli
