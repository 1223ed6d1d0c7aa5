// What quantising cost, as a plot: an error for each matrix of each layer, a divergence for each
// prompt.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "quantize_output.h"
#include "svg.h"

namespace qwenvl::cli {
namespace {

// The number in "model.layers.17.…" and "visual.blocks.3.…"; -1 elsewhere.
int layer_of(const std::string& tensor) {
  for (const std::string prefix : {"model.layers.", "visual.blocks."}) {
    if (tensor.starts_with(prefix)) return std::atoi(tensor.c_str() + prefix.size());
  }
  return -1;
}

// Whole numbers with few digits that divide 0 … most into a handful of parts.
double step_for(double most) {
  const double power = std::pow(10.0, std::floor(std::log10(most)));
  for (const double digits : {0.2, 0.5, 1.0, 2.0}) {
    if (most / (digits * power) <= 6) return digits * power;
  }
  return 5 * power;
}

// Tower and decoder apart: their layers and their errors are of different sizes.
std::string layers_plot(const QuantizeSummary& summary, const char* part, int& top) {
  std::map<std::string, std::vector<std::pair<int, double>>> kinds;
  int last = 0;
  double most = 0;
  for (const QuantizedTensor& tensor : summary.report.tensors) {
    const std::string kind = kind_of(tensor.name);
    const int layer = layer_of(tensor.name);
    if (layer < 0 || tensor.relative_error == 0 || !kind.starts_with(part)) continue;
    kinds[kind.substr(kind.find(' ') + 1) + ", " + tensor.packing].emplace_back(
        layer, tensor.relative_error);
    last = std::max(last, layer);
    most = std::max(most, tensor.relative_error);
  }
  if (kinds.empty()) return "";
  std::vector<svg::Series> series;
  for (const auto& [name, points] : kinds) {
    svg::Series& one = series.emplace_back();
    one.name = name;
    for (const auto& [layer, error] : points) {
      one.points.emplace_back(last > 0 ? static_cast<double>(layer) / last : 0.5,
                              error / (1.05 * most));
    }
    std::sort(one.points.begin(), one.points.end());
  }
  std::vector<std::pair<double, std::string>> marks;
  for (double at = 0; at <= 1.05 * most; at += step_for(most)) {
    marks.emplace_back(at / (1.05 * most), fmt::format("{:.3g} %", 100 * at));
  }
  std::string out = svg::heading(top, fmt::format("Relative error of the weights: {}", part),
                                 fmt::format("√(Σ (w − w')² / Σ w²) of each matrix, layer 0 on the "
                                             "left to layer {} on the right",
                                             last));
  out += svg::curves(top + svg::kHeading, series, marks);
  top += svg::kHeading + svg::curves_height(series.size());
  return out;
}

std::string prompts_plot(const ModelComparison& comparison, int& top) {
  constexpr int kNames = 340;
  constexpr std::size_t kNameBytes = 44;
  const double most = std::max(comparison.largest_kl, 1e-12);
  std::vector<svg::Bar> bars;
  for (const PromptComparison& one : comparison.prompts) {
    std::string name = (one.has_picture ? "picture: " : "") + one.prompt;
    name = name.substr(0, name.find('\n'));
    if (name.size() > kNameBytes) {
      std::size_t end = kNameBytes;
      while ((static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
      name = name.substr(0, end) + "…";
    }
    bars.push_back({name,
                    fmt::format("{:.4f}{}", one.kl, one.is_same_token ? "" : ", another token"),
                    one.kl / most});
  }
  std::string out = svg::heading(
      top, "Divergence of the first answer token from the original's",
      fmt::format("KL in nats, mean {:.4f}; same likeliest token in {:.1f} % of {} prompts",
                  comparison.mean_kl, 100 * comparison.top1_agreement, comparison.prompts.size()));
  out += svg::bars(
      top + svg::kHeading, kNames, bars,
      {{0, "0"}, {0.5, fmt::format("{:.2g}", most / 2)}, {1, fmt::format("{:.2g}", most)}});
  top += svg::kHeading + svg::bars_height(bars.size());
  return out;
}

}  // namespace

std::string plot_of(const QuantizeSummary& summary) {
  int top = svg::kHeading;
  std::string subtitle = fmt::format("{} → {}", summary.model, summary.out);
  if (summary.report.n_calibration_items > 0) {
    subtitle += fmt::format(", calibrated on {} items", summary.report.n_calibration_items);
  }
  std::string body = svg::heading(0, "Quantised as " + summary.format, subtitle);
  for (const char* part : {"decoder", "vision"}) body += layers_plot(summary, part, top);
  if (summary.comparison) body += prompts_plot(*summary.comparison, top);
  return svg::page(top, body);
}

}  // namespace qwenvl::cli
