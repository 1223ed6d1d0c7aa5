// Features of pictures seen before.
// Before: scheduler.cpp has a picture to encode.   After: its rows go into the prompt.
#include "engine/vision_cache.h"

#include <xxhash.h>

#include <algorithm>

namespace qwenvl {

MediaKey key_of(const VisionInput& input) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> owner(XXH3_createState(),
                                                                              &XXH3_freeState);
  XXH3_state_t* state = owner.get();
  if (!state) fail(ErrorKind::out_of_memory, "vision cache: no memory for a hash");
  XXH3_128bits_reset(state);
  const std::int64_t header[] = {input.grid.t, input.grid.h, input.grid.w,
                                 static_cast<std::int64_t>(input.normalisation),
                                 static_cast<std::int64_t>(input.frames.size())};
  XXH3_128bits_update(state, header, sizeof header);
  for (const Image& frame : input.frames)
    XXH3_128bits_update(state, frame.rgb.data(), frame.rgb.size());
  for (const FloatImage& frame : input.float_frames)
    XXH3_128bits_update(state, frame.rgb.data(), frame.rgb.size() * sizeof(float));
  const XXH128_hash_t hash = XXH3_128bits_digest(state);
  return {hash.low64, hash.high64};
}

std::shared_ptr<const Features> VisionCache::find(const MediaKey& key) {
  const auto it =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
  if (it == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, it);
  return it->features;
}

void VisionCache::insert(const MediaKey& key, std::shared_ptr<const Features> features) {
  if (features->memory.size() > max_bytes_) return;
  used_bytes_ += features->memory.size();
  entries_.push_front({key, std::move(features)});
  shrink();
}

void VisionCache::limit(std::size_t max_bytes) {
  max_bytes_ = max_bytes;
  shrink();
}

void VisionCache::shrink() {
  while (used_bytes_ > max_bytes_) {
    used_bytes_ -= entries_.back().features->memory.size();
    entries_.pop_back();
  }
}

}  // namespace qwenvl
