// A 5 x 7 bitmap font for the labels that draw.cpp writes. Private to src/media.
#pragma once

#include <cstdint>

namespace qwenvl {

constexpr int kGlyphWidth = 5;
constexpr int kGlyphHeight = 7;

// Seven rows, top to bottom; bit 4 is the leftmost pixel. ASCII 0x20..0x7e; any other code point
// gives an outlined box.
const std::uint8_t* glyph(std::uint32_t code_point);

}  // namespace qwenvl
