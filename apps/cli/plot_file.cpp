// SVG as it is, or as PNG.
#include "plot_file.h"

#include <fmt/format.h>

#include "qwenvl/drawing.h"

namespace qwenvl::cli {

PlotFile::PlotFile(const char* option, const std::string& path)
    : is_png_(path.ends_with(".png")), file_(option, path) {
  if (is_png_) require_svg_to_png();
}

void PlotFile::finish(const std::string& svg) { file_.finish(is_png_ ? svg_to_png(svg) : svg); }

CLI::Validator plot_path() {
  return CLI::Validator(
      [](std::string& path) {
        if (path.ends_with(".svg") || path.ends_with(".png")) return std::string();
        return fmt::format("'{}' ends neither in .svg nor in .png, the two kinds of plot", path);
      },
      "FILE.svg|FILE.png");
}

}  // namespace qwenvl::cli
