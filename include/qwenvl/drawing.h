// Drawings that this library makes as SVG (plots of errors, speeds and searches), as pixels.
#pragma once

#include <string>

namespace qwenvl {

// The bytes of a PNG file, two pixels for each unit of the drawing. Throws device when librsvg is
// not installed, or cannot draw it.
std::string svg_to_png(const std::string& svg);
// Throws device when librsvg is not installed: to be asked before work whose result will be drawn.
void require_svg_to_png();

}  // namespace qwenvl
