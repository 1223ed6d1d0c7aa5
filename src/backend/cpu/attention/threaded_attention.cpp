// Blocks of queries and heads are shared out among the threads; keys and values go into the cache
// and come out of it, in 8 bits where the cache keeps them so.
// Before: cpu_backend.cpp.   After: attention.cpp.
#include "backend/cpu/attention/threaded_attention.h"

#include <algorithm>

#include "formats/packed.h"
#include "formats/rotation.h"

namespace qwenvl::cpu {
namespace {

constexpr std::int64_t kRowsPerTask = 16;       // of rows that are converted
constexpr std::int64_t kCachedBlockRows = 128;  // rows times heads of a group
// More rows share the work of laying out a key tile; fewer make more tasks.
// Keys of a span that is over before any fetching ahead within it could help: the next head's rows
// are fetched instead.
constexpr std::int64_t kShortSpan = 2 * kKvPageTokens;
constexpr std::int64_t kFewestSpanRows = 256, kMostSpanRows = 1024;

std::int64_t bytes_of(DType type, std::int64_t n) {
  return n * static_cast<std::int64_t>(size_of(type));
}
std::byte* row_of(const Tensor& x, std::int64_t i) {
  return static_cast<std::byte*>(x.data) + bytes_of(x.type, i * x.row_stride);
}

// Some bytes of each row of x, into the second-level cache.
void fetch_rows(const Tensor& x, std::int64_t begin, std::int64_t end, std::int64_t first_byte,
                std::int64_t n_bytes) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::byte* row = row_of(x, i) + first_byte;
    for (std::int64_t j = 0; j < n_bytes; j += 64) __builtin_prefetch(row + j, 0, 2);
    __builtin_prefetch(row + n_bytes - 1, 0, 2);
  }
}

// body(row, thread) for all rows.
template <class Body>
void for_rows(ThreadPool& pool, std::int64_t n, const Body& body) {
  pool.parallel_for((n + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task, int thread) {
    const std::int64_t end = std::min(n, (task + 1) * kRowsPerTask);
    for (std::int64_t t = task * kRowsPerTask; t < end; ++t) body(t, thread);
  });
}

}  // namespace

// One head of one token → its place in a head of a page.
void ThreadedAttention::store_head(const KvLayout& layout, const std::byte* x, DType type,
                                   bool is_key, std::int64_t token, std::byte* head,
                                   FloatBuffer& row) {
  const std::int64_t dim = layout.head_dim;
  std::byte* to = head + bytes_of(layout.type, token * dim);
  if (type == layout.type) {
    std::copy_n(x, bytes_of(type, dim), to);
    return;
  }
  float* numbers = row.floats(dim);
  rows(type).widen(x, dim, numbers);
  if (!layout.is_int8()) {
    rows(layout.type).narrow(numbers, dim, to);
    return;
  }
  if (is_key) rotate_row(numbers, dim);
  layout.scales(head)[token] = quantise_group(numbers, dim, reinterpret_cast<std::int8_t*>(to));
}

void ThreadedAttention::store_kv(Tensor k, Tensor v, const KvView& kv, int layer) {
  const KvLayout& layout = kv.layout;
  for (const SequenceRows& sequence : kv.sequences) {
    for_rows(pool_, sequence.n_rows, [&](std::int64_t r, int thread) {
      const std::int64_t token = sequence.cache_start + r, in_page = token % kKvPageTokens;
      std::byte* page = sequence.pages[static_cast<std::size_t>(token / kKvPageTokens)];
      FloatBuffer& row = scratch_[static_cast<std::size_t>(thread)].row;
      for (int head = 0; head < layout.n_kv_heads; ++head) {
        const std::int64_t column = std::int64_t{head} * layout.head_dim;
        store_head(layout, row_of(k, sequence.first_row + r) + bytes_of(k.type, column), k.type,
                   true, in_page, layout.keys(page, layer, head), row);
        store_head(layout, row_of(v, sequence.first_row + r) + bytes_of(v.type, column), v.type,
                   false, in_page, layout.values(page, layer, head), row);
      }
    });
  }
}

// Queries as they meet keys that were rotated.
Tensor ThreadedAttention::rotated(const Tensor& q, int head_dim) {
  const std::int64_t width = q.row_width();
  const Tensor out(queries_.floats(q.rows() * width), q.type, {q.rows(), width});
  for_rows(pool_, q.rows(), [&](std::int64_t t, int thread) {
    float* row = scratch_[static_cast<std::size_t>(thread)].row.floats(width);
    rows(q.type).widen(row_of(q, t), width, row);
    for (std::int64_t head = 0; head < width; head += head_dim) rotate_row(row + head, head_dim);
    rows(q.type).narrow(row, width, row_of(out, t));
  });
  return out;
}

// n tokens of one head of a page as numbers of `type`; valid until the next call.
KeyTile ThreadedAttention::read_int8(const KvLayout& layout, std::byte* keys, std::byte* values,
                                     std::int64_t n, DType type, FloatBuffer& tile) {
  const std::int64_t dim = layout.head_dim, stride = bytes_of(type, dim);
  const auto read = [&](std::byte* head, std::byte* out) {
    const std::int8_t* q = reinterpret_cast<const std::int8_t*>(head);
    const float* scales = layout.scales(head);
    for (std::int64_t j = 0; j < n; ++j)
      rows(type).from_int8(q + j * dim, scales[j], dim, out + j * stride);
  };
  std::byte* out = reinterpret_cast<std::byte*>(tile.floats(2 * kKvPageTokens * dim));
  read(keys, out);
  read(values, out + kKvPageTokens * stride);
  return {out, out + kKvPageTokens * stride, stride};
}

void ThreadedAttention::cached(Tensor q, int n_heads, const KvView& kv, int layer, float scale,
                               Tensor out) {
  const KvLayout& layout = kv.layout;
  QWENVL_CHECK(layout.head_dim <= kMaxHeadDim && n_heads % layout.n_kv_heads == 0,
               "attention of {} heads over {} of {}", n_heads, layout.n_kv_heads, layout.head_dim);
  const int group = n_heads / layout.n_kv_heads;
  const std::int64_t block_rows = std::max<std::int64_t>(1, kCachedBlockRows / group);
  std::vector<std::pair<const SequenceRows*, std::int64_t>>
      blocks;  // sequence, first row within it
  for (const SequenceRows& sequence : kv.sequences) {
    for (std::int64_t r = 0; r < sequence.n_rows; r += block_rows)
      blocks.emplace_back(&sequence, r);
  }
  if (layout.is_int8()) q = rotated(q, layout.head_dim);
  const DType key_type = layout.is_int8() ? q.type : layout.type;
  const std::int64_t stride = bytes_of(layout.type, layout.head_dim);
  pool_.parallel_for(
      static_cast<std::int64_t>(blocks.size()) * layout.n_kv_heads,
      [&](std::int64_t task, int thread) {
        // Not a structured binding: the lambda below captures the sequence.
        const SequenceRows* sequence =
            blocks[static_cast<std::size_t>(task / layout.n_kv_heads)].first;
        const std::int64_t r = blocks[static_cast<std::size_t>(task / layout.n_kv_heads)].second;
        const int head = static_cast<int>(task % layout.n_kv_heads);
        const std::int64_t n = std::min(block_rows, sequence->n_rows - r);
        const std::int64_t position = sequence->cache_start + r, n_keys = position + n;
        const HeadBlock block{
            q,    out,     sequence->first_row + r, n, head * group, group, key_type, n_keys,
            true, position};
        Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
        const auto key_rows = [&](std::int64_t key) {
          std::byte* page = sequence->pages[static_cast<std::size_t>(key / kKvPageTokens)];
          std::byte* keys = layout.keys(page, layer, head);
          std::byte* values = layout.values(page, layer, head);
          if (!layout.is_int8()) return KeyTile{keys, values, stride};
          return read_int8(layout, keys, values,
                           std::min<std::int64_t>(kKvPageTokens, n_keys - key), key_type,
                           scratch.tile);
        };
        attend(kernels_, block, scale, layout.head_dim, key_rows, scratch.attention);
      });
}

void ThreadedAttention::spans(Tensor q, Tensor k, Tensor v, int n_heads,
                              std::span<const AttentionSpan> spans, float scale, Tensor out) {
  const int head_dim = static_cast<int>(q.row_width() / n_heads);
  QWENVL_CHECK(head_dim <= kMaxHeadDim, "attention with heads of {}", head_dim);
  const std::int64_t block_rows = span_rows(q.rows(), n_heads);
  std::vector<AttentionSpan> blocks;
  for (const AttentionSpan& span : spans) {
    const std::int64_t n = span.q_end - span.q_begin, n_blocks = (n + block_rows - 1) / block_rows;
    for (std::int64_t i = 0; i < n_blocks; ++i) {  // of about equal size
      blocks.push_back({span.q_begin + n * i / n_blocks, span.q_begin + n * (i + 1) / n_blocks,
                        span.k_begin, span.k_end});
    }
  }
  pool_.parallel_for(
      static_cast<std::int64_t>(blocks.size()) * n_heads, [&](std::int64_t task, int thread) {
        const AttentionSpan& span = blocks[static_cast<std::size_t>(task / n_heads)];
        const int head = static_cast<int>(task % n_heads);
        if (head + 1 < n_heads && span.k_end - span.k_begin <= kShortSpan) {
          const std::int64_t next = bytes_of(k.type, std::int64_t{head + 1} * head_dim),
                             width = bytes_of(k.type, head_dim);
          fetch_rows(q, span.q_begin, span.q_end, next, width);
          fetch_rows(k, span.k_begin, span.k_end, next, width);
          fetch_rows(v, span.k_begin, span.k_end, next, width);
        }
        const HeadBlock block{q,     out, span.q_begin, span.q_end - span.q_begin,
                              head,  1,   k.type,       span.k_end - span.k_begin,
                              false, 0};
        attend(
            kernels_, block, scale, head_dim,
            [&](std::int64_t key) {
              const std::int64_t row = span.k_begin + key,
                                 column = bytes_of(k.type, std::int64_t{head} * head_dim);
              return KeyTile{row_of(k, row) + column, row_of(v, row) + column,
                             bytes_of(k.type, k.row_stride)};
            },
            scratch_[static_cast<std::size_t>(thread)].attention);
      });
}

// Rows of a block of queries, so that all threads have work.
std::int64_t ThreadedAttention::span_rows(std::int64_t n_rows, int n_heads) const {
  return std::clamp(n_rows * n_heads / (4 * pool_.n_threads()), kFewestSpanRows, kMostSpanRows);
}

void ThreadedAttention::forget_scratch() {
  scratch_ = std::vector<Scratch>(scratch_.size());
  queries_ = {};
}

std::int64_t ThreadedAttention::scratch_bytes(std::int64_t n_rows, std::int64_t width, int n_heads,
                                              DType type) const {
  // Queries, results and their scores of a block; keys and values of a tile, twice in 8 bits. A
  // group of heads with few rows of the cache takes no more than kCachedBlockRows or its own size.
  const std::int64_t head_dim = (width / n_heads + 31) / 32 * 32;
  const std::int64_t rows =
      std::max<std::int64_t>(std::min(span_rows(n_rows, n_heads), (n_rows + 15) / 16 * 16),
                             std::max<std::int64_t>(kCachedBlockRows, (n_heads + 15) / 16 * 16));
  const std::int64_t block = rows * (2 * head_dim + kKvPageTokens + 17),
                     tile = (2 + kTilesTogether) * kKvPageTokens * head_dim;
  return bytes_of(type, n_rows * width) +
         static_cast<std::int64_t>(scratch_.size()) * bytes_of(DType::f32, block + tile + width);
}

}  // namespace qwenvl::cpu
