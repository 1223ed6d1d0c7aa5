// A drawing as pixels, by librsvg, which is loaded when the first is made.
// Before: a plot of ours, as SVG.   After: librsvg and cairo.
#include <librsvg/rsvg.h>

#include <memory>

#include "core/check.h"
#include "core/delayed_library.h"
#include "qwenvl/drawing.h"

namespace qwenvl {
namespace {

#if defined(__APPLE__)
constinit DelayedLibrary librsvg("librsvg-2.2.dylib", "plots as PNG",
                                 "librsvg, or choose a name that ends in .svg");
#else
constinit DelayedLibrary librsvg(
    "librsvg-2.so.2", "plots as PNG",
    "librsvg (Debian: librsvg2-2), or choose a name that ends in .svg");
#endif
// Those of the libraries below it are found through it.
#define QWENVL_RSVG(function) \
  constinit const DelayedFunction<decltype(::function)> function { librsvg, #function }
QWENVL_RSVG(cairo_create);
QWENVL_RSVG(cairo_destroy);
QWENVL_RSVG(cairo_image_surface_create);
QWENVL_RSVG(cairo_surface_destroy);
QWENVL_RSVG(cairo_surface_write_to_png_stream);
QWENVL_RSVG(g_error_free);
QWENVL_RSVG(g_object_unref);
QWENVL_RSVG(rsvg_handle_get_intrinsic_size_in_pixels);
QWENVL_RSVG(rsvg_handle_new_from_data);
QWENVL_RSVG(rsvg_handle_render_document);

constexpr double kPixelsPerUnit = 2;  // sharp on dense screens and in print

template <const auto& destroy>
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
  fail(ErrorKind::device,
       "the drawing cannot be made a PNG ({}); a name that ends in .svg works without drawing",
       error ? error->message : "no memory for its pixels");
}

cairo_status_t append(void* bytes, const unsigned char* data, unsigned int size) {
  static_cast<std::string*>(bytes)->append(reinterpret_cast<const char*>(data), size);
  return CAIRO_STATUS_SUCCESS;
}

}  // namespace

void require_svg_to_png() { librsvg.find("rsvg_handle_new_from_data"); }

std::string svg_to_png(const std::string& svg) {
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

}  // namespace qwenvl
