// Plots as SVG, readable on light and dark pages alike.
// Before: bench_plot.cpp and quantize_plot.cpp say what is to be seen.   After: a file.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace qwenvl::cli::svg {

inline constexpr int kWidth = 860;
inline constexpr int kHeading = 56;  // height of a title and a subtitle

// A whole file: `body` on a white page.
std::string page(int height, const std::string& body);
std::string heading(int top, const std::string& title, const std::string& subtitle);
// `anchor`: "start", "middle" or "end".
std::string text(double x, double y, const std::string& words, const char* anchor = "start",
                 const char* colour = "#000");
std::string line(double x1, double y1, double x2, double y2, const char* colour = "#8886");

struct Bar {
  std::string name, text;
  double length = 0;  // 0 … 1
};
// Horizontal bars with their names on the left, the first `names` pixels of the page, and their
// texts behind them; `marks` are lines across all bars, at 0 … 1, with their labels.
std::string bars(int top, int names, const std::vector<Bar>& bars,
                 const std::vector<std::pair<double, std::string>>& marks);
int bars_height(std::size_t n_bars);

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x, y in 0 … 1
};
// Dots joined by lines, a colour for each series, with the names below; `marks` are lines across,
// at 0 … 1 of the height, with their labels.
std::string curves(int top, const std::vector<Series>& series,
                   const std::vector<std::pair<double, std::string>>& marks);
int curves_height(std::size_t n_series);

}  // namespace qwenvl::cli::svg
