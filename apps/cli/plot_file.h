// A file that a command draws its findings into.
// Before: bench_plot.cpp and its likes describe a plot as SVG.   After: an SVG or a PNG file.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "output_file.h"

namespace qwenvl::cli {

class PlotFile {
 public:
  // As OutputFile; the path's ending says the kind (plot_path() has checked it). "" draws nothing.
  // Throws device where a PNG could not be drawn.
  PlotFile(const char* option, const std::string& path);
  // PNG has twice the width and height in pixels that the SVG has in units. Throws device.
  void finish(const std::string& svg);

 private:
  bool is_png_;
  OutputFile file_;
};

// A file name that ends in .svg or .png.
CLI::Validator plot_path();

}  // namespace qwenvl::cli
