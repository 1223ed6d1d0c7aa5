// Draws bars and curves.
#include "svg.h"

#include <fmt/format.h>

#include <algorithm>

#include "terminal.h"

namespace qwenvl::cli::svg {
namespace {

constexpr int kTexts = 250, kRow = 26;                                      // of bars
constexpr int kLabels = 60, kCurves = 240, kLegend = 20, kNamesPerRow = 3;  // of curves
// Told apart by lightness, too.
constexpr const char* kColours[] = {"#2a6fbb", "#d1495b", "#2e8b57", "#e09f3e",
                                    "#6a4c93", "#5c6b73", "#0b3954", "#bc6c25"};

std::string escaped(const std::string& words) {
  std::string out;
  for (const char c : printable(words)) {
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

std::string dot(double x, double y, const char* colour) {
  return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\" fill=\"{}\"/>\n", x, y, colour);
}

}  // namespace

std::string page(int height, const std::string& body) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
      "viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"13\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{2}</svg>\n",
      kWidth, height, body);
}

std::string heading(int top, const std::string& title, const std::string& subtitle) {
  return fmt::format(
      "<text x=\"10\" y=\"{}\" font-size=\"15\" font-weight=\"bold\">{}</text>\n"
      "<text x=\"10\" y=\"{}\" fill=\"#555\">{}</text>\n",
      top + 20, escaped(title), top + 38, escaped(subtitle));
}

std::string text(double x, double y, const std::string& words, const char* anchor,
                 const char* colour) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"{}\">{}</text>\n",
                     x, y, anchor, colour, escaped(words));
}

std::string line(double x1, double y1, double x2, double y2, const char* colour) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", x1, y1, x2,
      y2, colour);
}

std::string bars(int top, int names, const std::vector<Bar>& bars,
                 const std::vector<std::pair<double, std::string>>& marks) {
  const int plot = kWidth - names - kTexts;
  const int bottom = top + kRow * static_cast<int>(bars.size());
  std::string out;
  for (const auto& [at, label] : marks) {
    const double x = names + plot * at;
    out += line(x, top - 6, x, bottom) + text(x, bottom + 18, label, "middle", "#777");
  }
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const int y = top + kRow * static_cast<int>(i);
    const double length = plot * std::clamp(bars[i].length, 0.0, 1.0);
    out += text(names - 8, y + 15, bars[i].name, "end");
    out +=
        fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\" fill=\"#2a6fbb\"/>\n",
                    names, y + 2, length, kRow - 8);
    out += text(names + length + 6, y + 15, bars[i].text);
  }
  return out;
}

int bars_height(std::size_t n_bars) { return kRow * static_cast<int>(n_bars) + 30; }

std::string curves(int top, const std::vector<Series>& series,
                   const std::vector<std::pair<double, std::string>>& marks) {
  const int wide = kWidth - kLabels - 20;
  std::string out;
  for (const auto& [at, label] : marks) {
    const double y = top + kCurves * (1 - at);
    out += line(kLabels, y, kLabels + wide, y) + text(kLabels - 8, y + 4, label, "end", "#777");
  }
  for (std::size_t s = 0; s < series.size(); ++s) {
    const char* colour = kColours[s % std::size(kColours)];
    std::string path;
    for (const auto& [at, value] : series[s].points) {
      const double x = kLabels + wide * at;
      const double y = top + kCurves * (1 - std::clamp(value, 0.0, 1.0));
      path += fmt::format("{:.1f},{:.1f} ", x, y);
      out += dot(x, y, colour);
    }
    out += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\"/>\n", path, colour);
    const double x = kLabels + static_cast<double>(s % kNamesPerRow) * wide / kNamesPerRow;
    const double y = top + kCurves + 24 + static_cast<double>(s / kNamesPerRow) * kLegend;
    out += dot(x, y - 4, colour) + text(x + 8, y, series[s].name);
  }
  return out;
}

int curves_height(std::size_t n_series) {
  return kCurves + 24 + kLegend * static_cast<int>((n_series + kNamesPerRow - 1) / kNamesPerRow);
}

}  // namespace qwenvl::cli::svg
