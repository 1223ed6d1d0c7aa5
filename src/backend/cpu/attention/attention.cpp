// Lays out queries, keys and values for the kernels of a table and runs online softmax over all
// tiles.
#include "backend/cpu/attention/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace qwenvl::cpu {
namespace {

// Rows of queries that go over kTilesTogether tiles before the next: multiples of what kernels
// take.
constexpr std::int64_t kRowsTogether = 64;

const std::byte* row_of(const Tensor& x, std::int64_t i) {
  return static_cast<const std::byte*>(x.data) +
         i * x.row_stride * static_cast<std::int64_t>(size_of(x.type));
}
std::byte* row_of_out(const Tensor& x, std::int64_t i) {
  return static_cast<std::byte*>(x.data) +
         i * x.row_stride * static_cast<std::int64_t>(size_of(x.type));
}

// Running results of online softmax: one row for each query row and head of the group.
struct State {
  float* out;     // [n, width]
  float* maxima;  // [n]
  float* sums;    // [n, n_sums]
};

State fresh_state(AttentionScratch& scratch, std::int64_t n, std::int64_t width,
                  std::int64_t n_sums) {
  State state;
  state.out = scratch.state.floats(n * (width + 1 + n_sums));
  state.sums = state.out + n * width;
  state.maxima = state.sums + n * n_sums;
  std::fill(state.out, state.maxima, 0.0f);
  // Not -infinity: keys that score that may come first, and nothing can be taken from it.
  std::fill(state.maxima, state.maxima + n, std::numeric_limits<float>::lowest());
  return state;
}

// Which keys of the tile from `key` on each of n rows sees, from row `first` on.
void note_visible(const HeadBlock& block, std::int64_t key, std::int64_t n_here, std::int64_t first,
                  std::int64_t n, std::vector<std::int32_t>& visible) {
  visible.resize(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t token = (first + i) / block.group;
    const std::int64_t sees =
        block.is_causal ? std::min(n_here, block.first_position + token + 1 - key) : n_here;
    visible[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(sees);
  }
}

// Where the result of a row and head of the block goes.
std::byte* result(const HeadBlock& block, int head_dim, std::int64_t i) {
  return row_of_out(block.out, block.first_row + i / block.group) +
         (block.first_head + i % block.group) * head_dim *
             static_cast<std::int64_t>(size_of(block.out.type));
}

// The group's heads of a query row lie side by side.
const std::byte* query(const HeadBlock& block, int head_dim, std::int64_t row) {
  return row_of(block.q, block.first_row + row) +
         block.first_head * head_dim * static_cast<std::int64_t>(size_of(block.q.type));
}

void attend_float(const KernelTable& kernels, const HeadBlock& block, float scale, int head_dim,
                  const KeyRows& key_rows, AttentionScratch& scratch) {
  const auto rows = [&](DType type) -> const RowKernels& {
    return type == DType::bf16 ? kernels.bf16 : kernels.f32;
  };
  const std::int64_t n = block.n_rows * block.group, padded = padded_to_lanes(head_dim);
  float* q = scratch.q.floats(n * head_dim);
  for (std::int64_t r = 0; r < block.n_rows; ++r) {
    rows(block.q.type)
        .widen(query(block, head_dim, r), std::int64_t{block.group} * head_dim,
               q + r * block.group * head_dim);
  }
  const State state = fresh_state(scratch, n, padded, 1);
  float* keys = scratch.keys.floats(head_dim * kKvPageTokens);
  float* values = scratch.values.floats(padded * kKvPageTokens);
  std::fill(values, values + padded * kKvPageTokens, 0.0f);
  float* scores = scratch.scores.floats(n * kKvPageTokens);
  for (std::int64_t key = 0; key < block.n_keys; key += kKvPageTokens) {
    const KeyTile tile = key_rows(key);
    const std::int64_t n_here = std::min<std::int64_t>(kKvPageTokens, block.n_keys - key);
    for (std::int64_t j = 0; j < kKvPageTokens; ++j) {
      float row[kMaxHeadDim] = {};
      if (j < n_here) rows(block.key_type).widen(tile.keys + j * tile.stride_bytes, head_dim, row);
      for (int d = 0; d < head_dim; ++d) keys[d * kKvPageTokens + j] = row[d];
      if (j < n_here) {
        rows(block.key_type)
            .widen(tile.values + j * tile.stride_bytes, head_dim, values + j * padded);
      } else {
        std::fill(values + j * padded, values + (j + 1) * padded, 0.0f);
      }
    }
    note_visible(block, key, n_here, 0, n, scratch.visible);
    kernels.attention({q, keys, values, scratch.visible.data(), n, head_dim, scale, scores,
                       state.maxima, state.sums, state.out});
  }
  for (std::int64_t i = 0; i < n; ++i) {
    float* row = state.out + i * padded;
    for (int d = 0; d < head_dim; ++d) row[d] /= state.sums[i];
    rows(block.out.type).narrow(row, head_dim, result(block, head_dim, i));
  }
}

// copy [padded_n, key_dim]: the queries of all heads of the group, zeros behind each head and below
// the last row.
void copy_queries(const HeadBlock& block, int head_dim, std::int64_t key_dim, std::int64_t padded_n,
                  bf16* copy) {
  const std::int64_t n = block.n_rows * block.group;
  std::memset(static_cast<void*>(copy), 0,
              static_cast<std::size_t>(padded_n * key_dim) * sizeof(bf16));
  for (std::int64_t i = 0; i < n; ++i) {
    std::memcpy(static_cast<void*>(copy + i * key_dim),
                query(block, head_dim, i / block.group) + i % block.group * head_dim * 2,
                static_cast<std::size_t>(head_dim) * sizeof(bf16));
  }
}

// Keys and values come from memory, row by row: while one tile is attended to, the next.
void fetch_ahead(const KeyTile& tile, std::int64_t n_tokens, int head_dim) {
  for (std::int64_t j = 0; j < n_tokens; ++j) {
    for (std::int64_t i = 0; i < head_dim * 2; i += 64) {
      __builtin_prefetch(tile.keys + j * tile.stride_bytes + i, 0, 2);
      __builtin_prefetch(tile.values + j * tile.stride_bytes + i, 0, 2);
    }
  }
}

// Tiles of keys and values as the kernels want them.
class LaidOut {
 public:
  LaidOut(const Bf16Attention& kernels, const HeadBlock& block, int head_dim,
          const KeyRows& key_rows, std::int64_t n_tiles, AttentionScratch& scratch)
      : kernels_(kernels),
        block_(block),
        head_dim_(head_dim),
        key_rows_(key_rows),
        next_(key_rows(0)),
        key_size_((head_dim + 31) / 32 * 32 * kKvPageTokens),
        value_size_((head_dim + 15) / 16 * 16 * kKvPageTokens),
        keys_(reinterpret_cast<bf16*>(scratch.keys.floats(n_tiles * key_size_ / 2))),
        values_(reinterpret_cast<bf16*>(scratch.values.floats(n_tiles * value_size_ / 2))) {}

  // Lays out tile i of those at hand: the tokens from `key` on, in their order.
  void add(std::int64_t i, std::int64_t key) {
    const KeyTile tile = next_;
    kernels_.lay_out_keys(tile.keys, tile.stride_bytes, n_tokens(key), head_dim_, keys_of(i));
    kernels_.lay_out_values(tile.values, tile.stride_bytes, n_tokens(key), head_dim_, values_of(i));
    const std::int64_t after = key + kKvPageTokens;
    if (after >= block_.n_keys) return;
    next_ = key_rows_(after);
    fetch_ahead(next_, n_tokens(after), head_dim_);
  }
  std::int64_t n_tokens(std::int64_t key) const {
    return std::min<std::int64_t>(kKvPageTokens, block_.n_keys - key);
  }
  bf16* keys_of(std::int64_t i) const { return keys_ + i * key_size_; }
  bf16* values_of(std::int64_t i) const { return values_ + i * value_size_; }

 private:
  const Bf16Attention& kernels_;
  const HeadBlock& block_;
  const int head_dim_;
  const KeyRows& key_rows_;
  KeyTile next_;
  const std::int64_t key_size_, value_size_;
  bf16 *keys_, *values_;
};

// Some rows go over several tiles before the next rows: what they have gathered stays in the
// first-level cache, the tiles in the second.
void attend_bf16(const KernelTable& kernels, const HeadBlock& block, float scale, int head_dim,
                 const KeyRows& key_rows, AttentionScratch& scratch) {
  const Bf16Attention& bf16_kernels = *kernels.bf16_attention;
  const std::int64_t n = block.n_rows * block.group, padded_n = (n + 15) / 16 * 16;
  const std::int64_t step = bf16_kernels.dim_step, key_dim = (head_dim + step - 1) / step * step,
                     value_dim = (head_dim + 15) / 16 * 16;
  const bf16* q = reinterpret_cast<const bf16*>(query(block, head_dim, 0));
  std::int64_t q_stride = block.q.row_stride;
  // Queries are used where they lie if nothing must be put behind them.
  if (key_dim != head_dim || block.group > 1 || bf16_kernels.whole_tiles) {
    bf16* copy = reinterpret_cast<bf16*>(scratch.q.floats(padded_n * key_dim / 2));
    copy_queries(block, head_dim, key_dim, padded_n, copy);
    q = copy;
    q_stride = key_dim;
  }
  const State state = fresh_state(scratch, padded_n, value_dim, 16);
  float* scores = scratch.scores.floats(48 * kKvPageTokens);
  const std::int64_t most_tiles = n > kRowsTogether ? kTilesTogether : 1;
  LaidOut tiles(bf16_kernels, block, head_dim, key_rows, most_tiles, scratch);
  for (std::int64_t first = 0; first < block.n_keys; first += most_tiles * kKvPageTokens) {
    const std::int64_t left = (block.n_keys - first + kKvPageTokens - 1) / kKvPageTokens,
                       n_tiles = std::min(most_tiles, left);
    for (std::int64_t i = 0; i < n_tiles; ++i) tiles.add(i, first + i * kKvPageTokens);
    for (std::int64_t r = 0; r < n; r += kRowsTogether) {
      const std::int64_t n_rows = std::min(kRowsTogether, n - r);
      for (std::int64_t i = 0; i < n_tiles; ++i) {
        const std::int64_t key = first + i * kKvPageTokens;
        note_visible(block, key, tiles.n_tokens(key), r, n_rows, scratch.visible);
        bf16_kernels.attend({q + r * q_stride, q_stride, tiles.keys_of(i), tiles.values_of(i),
                             scratch.visible.data(), n_rows, key_dim, value_dim, scale, scores,
                             state.maxima + r, state.sums + r * 16, state.out + r * value_dim});
      }
    }
  }
  for (std::int64_t i = 0; i < n; ++i) {
    bf16_kernels.finish(state.out + i * value_dim, state.sums + i * 16, head_dim,
                        reinterpret_cast<bf16*>(result(block, head_dim, i)));
  }
}

}  // namespace

void attend(const KernelTable& kernels, const HeadBlock& block, float scale, int head_dim,
            const KeyRows& key_rows, AttentionScratch& scratch) {
  const bool is_bf16 = block.q.type == DType::bf16 && block.key_type == DType::bf16 &&
                       block.out.type == DType::bf16 && kernels.bf16_attention;
  (is_bf16 ? attend_bf16 : attend_float)(kernels, block, scale, head_dim, key_rows, scratch);
}

}  // namespace qwenvl::cpu
