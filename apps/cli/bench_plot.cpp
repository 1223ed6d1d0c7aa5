// Benchmarks as a plot: horizontal bars in SVG.
#include <fmt/format.h>

#include <algorithm>

#include "bench_output.h"
#include "svg.h"

namespace qwenvl::cli {
namespace {

using svg::Bar;

std::string page_of(const std::string& title, const std::string& subtitle,
                    const std::vector<Bar>& bars) {
  constexpr int kNames = 150;
  return svg::page(
      svg::kHeading + svg::bars_height(bars.size()),
      svg::heading(0, title, subtitle) +
          svg::bars(svg::kHeading, kNames, bars,
                    {{0, "0 %"}, {0.25, "25 %"}, {0.5, "50 %"}, {0.75, "75 %"}, {1, "100 %"}}));
}

double median_of(const std::vector<ProbeFigures>& readings, double ProbeFigures::*figure) {
  std::vector<double> values;
  for (const ProbeFigures& reading : readings) values.push_back(reading.*figure);
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

}  // namespace

std::string plot_of(const BenchReport& report) {
  std::vector<Bar> bars;
  for (const BenchStage& stage : report.stages) {
    const std::string time = stage.median_ms >= 10e3
                                 ? fmt::format("{:.2f} s", stage.median_ms / 1e3)
                                 : fmt::format("{:.1f} ms", stage.median_ms);
    const std::string share =
        stage.share > 0 ? fmt::format("{:.0f} % of {}, ", 100 * stage.share, stage.limit) : "";
    bars.push_back({stage.name, share + time, stage.share});
  }
  return page_of("Share of the machine's limit",
                 fmt::format("{}, {}, {} threads", report.model, report.kernels, report.n_threads),
                 bars);
}

std::string plot_of(const MachineBench& machine) {
  std::vector<Bar> bars;
  const auto add = [&](const char* name, const char* unit, double ProbeFigures::*figure) {
    const double all = median_of(machine.all_threads, figure);
    const double one = median_of(machine.one_thread, figure);
    const double most = std::max(all, one);
    if (most <= 0) return;
    bars.push_back({std::string(name) + ", all", fmt::format("{:.1f} {}", all, unit), all / most});
    bars.push_back({"one thread", fmt::format("{:.1f} {}", one, unit), one / most});
  };
  add("memory", "GB/s", &ProbeFigures::read_gbps);
  add("int8", "GOP/s", &ProbeFigures::int8_gops);
  add("bf16", "GOP/s", &ProbeFigures::bf16_gops);
  add("float32", "GOP/s", &ProbeFigures::f32_gops);
  return page_of("One thread against all",
                 fmt::format("{}, {} threads", machine.cpu, machine.n_threads), bars);
}

}  // namespace qwenvl::cli
