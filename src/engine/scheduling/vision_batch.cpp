// Before: scheduler.cpp knows which pairs of an input are not in the cache.   After: the model
// encodes them.
#include "engine/scheduling/vision_batch.h"

#include <algorithm>

namespace qwenvl {
namespace {

constexpr std::int64_t kMostPatches = 4096;  // two passes over the weights of a layer

// The frames of a pair; one, for a still and at the end of an odd number, serves twice.
template <class Frame>
void take(std::vector<Frame>& from, std::int64_t pair, bool is_last, std::vector<Frame>& to) {
  if (from.empty()) return;  // the input's frames are of the other form
  const auto first = static_cast<std::size_t>(2 * pair);
  if (first + 1 < from.size()) {
    to.push_back(std::move(from[first]));
    to.push_back(std::move(from[first + 1]));
    return;
  }
  if (!is_last) to.push_back(from[first]);
  to.push_back(std::move(from[first]));
}

}  // namespace

Grid batch_grid(const Grid& grid) {
  return {std::clamp<std::int64_t>(kMostPatches / (grid.h * grid.w), 1, grid.t), grid.h, grid.w};
}

VisionInput take_pairs(VisionInput& from, std::span<const std::int64_t> pairs) {
  VisionInput out;
  out.is_video = from.is_video;
  out.normalisation = from.normalisation;
  out.grid = {static_cast<std::int64_t>(pairs.size()), from.grid.h, from.grid.w};
  out.n_tokens = from.n_tokens / from.grid.t * out.grid.t;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const bool is_last = i + 1 == pairs.size();
    take(from.frames, pairs[i], is_last, out.frames);
    take(from.float_frames, pairs[i], is_last, out.float_frames);
  }
  return out;
}

}  // namespace qwenvl
