// Features of pictures seen before: the same pixels are encoded once.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "models/model.h"

namespace qwenvl {

// Rows of one picture or clip, [n_tokens, feature_width] in the compute type.
struct Features {
  std::vector<std::byte> memory;
  Tensor view;
};

using MediaKey = std::array<std::uint64_t, 2>;

// Hash of the processed pixels, the grid and the normalisation.
MediaKey key_of(const VisionInput& input);

// Least recently used first out; used by the inference thread only.
class VisionCache {
 public:
  explicit VisionCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  std::shared_ptr<const Features> find(const MediaKey& key);
  void insert(const MediaKey& key, std::shared_ptr<const Features> features);
  // From now on at most this; what is too much is forgotten.
  void limit(std::size_t max_bytes);

 private:
  struct Entry {
    MediaKey key;
    std::shared_ptr<const Features> features;
  };
  void shrink();

  std::size_t max_bytes_;
  std::size_t used_bytes_ = 0;
  std::list<Entry> entries_;  // most recently used first; few enough to search one by one
};

}  // namespace qwenvl
