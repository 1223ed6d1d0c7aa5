// The EXIF orientation, from the metadata block of any format. Private to src/media.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "media/image.h"

namespace qwenvl {

// Orientation 1..8 out of a TIFF-structured EXIF block (with or without the "Exif\0\0" prefix);
// 0 when the block does not state one. Never reads outside the block, never follows pointers.
int exif_orientation(std::span<const std::uint8_t> block);

// The value of `tag` in the first directory of a classic TIFF structure, if it is one unsigned
// integer; 0 otherwise.
int tiff_integer(std::span<const std::uint8_t> block, int tag);

// The orientation an XMP packet states, 0 when it states none.
int xmp_orientation(std::string_view packet);

// Turns the pixels so that orientation becomes 1. Anything outside 2..8 leaves them alone.
void apply_orientation(Image& image, int orientation);

}  // namespace qwenvl
