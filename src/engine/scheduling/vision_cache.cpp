// Features of pictures seen before.
// Before: scheduler.cpp has a picture to encode.   After: its rows go into the prompt.
#include "engine/scheduling/vision_cache.h"

#include <xxhash.h>

#include <algorithm>

namespace qwenvl {

namespace {

// The two frames of a pair, or the one that serves as both.
template <class Frame>
void add_pair(XXH3_state_t* state, const std::vector<Frame>& frames, std::int64_t pair) {
  const auto first = static_cast<std::size_t>(2 * pair);
  for (std::size_t i = first; i < std::min(first + 2, frames.size()); ++i) {
    XXH3_128bits_update(state, frames[i].rgb.data(),
                        frames[i].rgb.size() * sizeof(frames[i].rgb[0]));
  }
}

}  // namespace

MediaKey key_of(const VisionInput& input, std::int64_t pair) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> owner(XXH3_createState(),
                                                                              &XXH3_freeState);
  XXH3_state_t* state = owner.get();
  if (!state) fail(ErrorKind::out_of_memory, "vision cache: no memory for a hash");
  XXH3_128bits_reset(state);
  const std::int64_t header[] = {input.grid.h, input.grid.w,
                                 static_cast<std::int64_t>(input.normalisation),
                                 std::int64_t{input.is_video}, std::int64_t{input.frames.empty()}};
  XXH3_128bits_update(state, header, sizeof header);
  add_pair(state, input.frames, pair);
  add_pair(state, input.float_frames, pair);
  const XXH128_hash_t hash = XXH3_128bits_digest(state);
  return {hash.low64, hash.high64};
}

std::shared_ptr<const Features> VisionCache::find(const MediaKey& key) {
  const auto place = places_.find(key);
  if (place == places_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, place->second);
  return place->second->features;
}

void VisionCache::insert(const MediaKey& key, std::shared_ptr<const Features> features) {
  if (features->memory.size() > max_bytes_ || find(key)) return;
  used_bytes_ += features->memory.size();
  entries_.push_front({key, std::move(features)});
  places_[key] = entries_.begin();
  shrink();
}

void VisionCache::limit(std::size_t max_bytes) {
  max_bytes_ = max_bytes;
  shrink();
}

void VisionCache::shrink() {
  while (used_bytes_ > max_bytes_) {
    used_bytes_ -= entries_.back().features->memory.size();
    places_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

}  // namespace qwenvl
