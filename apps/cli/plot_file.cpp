// SVG as it is, or as PNG through librsvg.
#include "plot_file.h"

#include <fmt/format.h>
#include <librsvg/rsvg.h>

#include <memory>

#include "qwenvl/error.h"

namespace qwenvl::cli {
namespace {

constexpr double kPixelsPerUnit = 2;  // sharp on dense screens and in print

template <auto destroy>
struct Destroy {
  template <class Object>
  void operator()(Object* object) const {
    destroy(object);
  }
};
using Drawing = std::unique_ptr<RsvgHandle, Destroy<g_object_unref>>;
using Surface = std::unique_ptr<cairo_surface_t, Destroy<cairo_surface_destroy>>;
using Pen = std::unique_ptr<cairo_t, Destroy<cairo_destroy>>;

void demand(bool is_drawn, const GError* error) {
  if (is_drawn) return;
  throw Error(ErrorKind::device,
              fmt::format("the plot cannot be drawn as PNG ({}); a name that ends in .svg works "
                          "without drawing",
                          error ? error->message : "no memory for its pixels"));
}

cairo_status_t append(void* bytes, const unsigned char* data, unsigned int size) {
  static_cast<std::string*>(bytes)->append(reinterpret_cast<const char*>(data), size);
  return CAIRO_STATUS_SUCCESS;
}

std::string png_of(const std::string& svg) {
  GError* error = nullptr;
  const auto* bytes = reinterpret_cast<const guint8*>(svg.data());
  const Drawing drawing(rsvg_handle_new_from_data(bytes, svg.size(), &error));
  const std::unique_ptr<GError, Destroy<g_error_free>> unreadable(error);
  demand(drawing != nullptr, error);

  double width = 0, height = 0;
  demand(rsvg_handle_get_intrinsic_size_in_pixels(drawing.get(), &width, &height), nullptr);
  const RsvgRectangle page{0, 0, kPixelsPerUnit * width, kPixelsPerUnit * height};
  const Surface surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(page.width),
                                                   static_cast<int>(page.height)));
  const Pen pen(cairo_create(surface.get()));
  GError* undrawn = nullptr;
  const bool is_drawn = rsvg_handle_render_document(drawing.get(), pen.get(), &page, &undrawn);
  const std::unique_ptr<GError, Destroy<g_error_free>> owner(undrawn);
  demand(is_drawn, undrawn);

  std::string png;
  demand(cairo_surface_write_to_png_stream(surface.get(), append, &png) == CAIRO_STATUS_SUCCESS,
         nullptr);
  return png;
}

}  // namespace

PlotFile::PlotFile(const char* option, const std::string& path)
    : is_png_(path.ends_with(".png")), file_(option, path) {}

void PlotFile::finish(const std::string& svg) { file_.finish(is_png_ ? png_of(svg) : svg); }

CLI::Validator plot_path() {
  return CLI::Validator(
      [](std::string& path) {
        if (path.ends_with(".svg") || path.ends_with(".png")) return std::string();
        return fmt::format("'{}' ends neither in .svg nor in .png, the two kinds of plot", path);
      },
      "FILE.svg|FILE.png");
}

}  // namespace qwenvl::cli
