// A plane of 8-bit luma, shrunk by a whole factor: the mean of each square of pixels.
// Private to src/media/video. Before: frame_pixels.cpp has a decoded frame.   After: signals.cpp
// measures what happens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "media/video/video.h"

namespace qwenvl {

// [height, width] of the plane's upper left part; it has factor times as many rows and columns.
LumaImage shrink_plane(const std::uint8_t* plane, std::ptrdiff_t stride, int height, int width,
                       int factor);

}  // namespace qwenvl
