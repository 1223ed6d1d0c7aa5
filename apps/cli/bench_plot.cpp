// Benchmarks as a plot: horizontal bars in SVG, readable on light and dark pages alike.
#include <fmt/format.h>

#include <algorithm>

#include "bench_output.h"
#include "terminal.h"

namespace qwenvl::cli {
namespace {

struct Bar {
  std::string name, text;
  double length = 0;  // 0 … 1
};

constexpr int kWidth = 860, kNames = 150, kTexts = 250, kRow = 26, kTop = 56;
constexpr int kPlot = kWidth - kNames - kTexts;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : printable(text)) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string axis(int bottom) {
  std::string out;
  for (const int percent : {0, 25, 50, 75, 100}) {
    const double x = kNames + kPlot * percent / 100.0;
    out += fmt::format(
        "<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"#8886\"/>\n"
        "<text x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\" fill=\"#777\">{4} %</text>\n",
        x, kTop - 6, bottom, bottom + 18, percent);
  }
  return out;
}

std::string svg_of(const std::string& title, const std::string& subtitle,
                   const std::vector<Bar>& bars) {
  const int bottom = kTop + kRow * static_cast<int>(bars.size());
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
      "viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"13\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
      "<text x=\"10\" y=\"20\" font-size=\"15\" font-weight=\"bold\">{2}</text>\n"
      "<text x=\"10\" y=\"38\" fill=\"#555\">{3}</text>\n",
      kWidth, bottom + 30, escaped(title), escaped(subtitle));
  out += axis(bottom);
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const int y = kTop + kRow * static_cast<int>(i);
    const double length = kPlot * std::clamp(bars[i].length, 0.0, 1.0);
    out += fmt::format(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n"
        "<rect x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\" fill=\"#2a6fbb\"/>\n"
        "<text x=\"{:.1f}\" y=\"{}\">{}</text>\n",
        kNames - 8, y + 15, escaped(bars[i].name), kNames, y + 2, length, kRow - 8,
        kNames + length + 6, y + 15, escaped(bars[i].text));
  }
  return out + "</svg>\n";
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
  return svg_of("Share of the machine's limit",
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
  return svg_of("One thread against all",
                fmt::format("{}, {} threads", machine.cpu, machine.n_threads), bars);
}

}  // namespace qwenvl::cli
