// Attention of a block of queries with one key/value head, key tile after key tile.
// Before: threaded_attention.cpp splits queries and heads over threads.   After: the kernel table.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "backend/cpu/float_buffer.h"
#include "backend/cpu/kernel_table.h"
#include "core/tensor.h"

namespace qwenvl::cpu {

// Rows of keys and values of one tile of kKvPageTokens tokens, wherever they lie.
struct KeyTile {
  const std::byte* keys;
  const std::byte* values;
  std::int64_t stride_bytes;  // from one token to the next
};
// The tile of the tokens from first_key on.
using KeyRows = std::function<KeyTile(std::int64_t first_key)>;

// Tiles that are laid out at a time, at most.
inline constexpr std::int64_t kTilesTogether = 8;

struct HeadBlock {
  Tensor q, out;
  std::int64_t first_row, n_rows;  // of q and out
  int first_head, group;           // query heads that share the key/value head
  DType key_type;                  // of keys and values
  std::int64_t n_keys;             // all keys any row sees
  bool is_causal;
  std::int64_t first_position;  // of the first row, when causal: it sees keys 0 … first_position
};

// What one thread needs; grows to the largest use and stays.
struct AttentionScratch {
  FloatBuffer q, keys, values, scores, state;
  std::vector<std::int32_t> visible;
};

// out = softmax(q · kᵀ · scale) · v. Queries and keys in bf16 are multiplied as such where the
// kernels can, with float32 sums; the weights of the values are then rounded to bf16.
void attend(const KernelTable& kernels, const HeadBlock& block, float scale, int head_dim,
            const KeyRows& key_rows, AttentionScratch& scratch);

}  // namespace qwenvl::cpu
