// Features of pictures and of pairs of frames seen before: the same pixels are encoded once.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "models/model.h"

namespace qwenvl {

// Rows of one picture or pair of frames, [n_tokens, feature_width] in the compute type.
struct Features {
  std::vector<std::byte> memory;
  Tensor view;
};

using MediaKey = std::array<std::uint64_t, 2>;

// Hash of the processed pixels of one pair (of a still: 0), their size and the normalisation. When
// the pair is shown has no influence on its features.
MediaKey key_of(const VisionInput& input, std::int64_t pair);

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
  std::list<Entry> entries_;  // most recently used first
  std::map<MediaKey, std::list<Entry>::iterator> places_;
};

}  // namespace qwenvl
