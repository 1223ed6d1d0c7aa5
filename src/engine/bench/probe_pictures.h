// Pictures for benchmarks and comparisons: the same bytes on every machine, and nothing that
// compresses or repeats.
#pragma once

#include "qwenvl/media.h"

namespace qwenvl {

// A bitmap of colour gradients under noise; different seeds give different pictures.
Picture synthetic_picture(int width, int height, std::uint32_t seed);

}  // namespace qwenvl
