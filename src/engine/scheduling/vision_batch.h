// Pairs of frames that are encoded together.
// Before: scheduler.cpp knows which pairs of an input are not in the cache.   After: the model
// encodes them.
//
// The tower sees every pair by itself, and rows do not depend on their neighbours: the same pair
// has the same features in any company. So windows of a video that overlap share the pairs they
// have in common, and what the tower takes does not depend on the length of a clip.
#pragma once

#include <cstdint>
#include <span>

#include "models/vision_input.h"

namespace qwenvl {

// What is encoded at once of an input with this grid: at least one pair, and no more than keeps the
// tower's weights busy.
Grid batch_grid(const Grid& grid);

// An input of these pairs of `from`, which loses their pixels.
VisionInput take_pairs(VisionInput& from, std::span<const std::int64_t> pairs);

}  // namespace qwenvl
