// How much arithmetic the network takes, counted from its sizes.
#include "models/qwen2_5_vl/work.h"

#include "models/qwen2_5_vl/input/windows.h"

namespace qwenvl::qwen2_5_vl {
namespace {

// Σ n² of the lengths between boundaries: pairs of rows that see each other.
double pairs_within(const std::vector<std::int64_t>& boundaries) {
  double pairs = 0;
  for (std::size_t i = 1; i < boundaries.size(); ++i) {
    const double n = static_cast<double>(boundaries[i] - boundaries[i - 1]);
    pairs += n * n;
  }
  return pairs;
}

}  // namespace

Work encode_work(const VisionConfig& vision, const Grid& grid) {
  const double h = vision.hidden_size, f = vision.intermediate_size;
  const double merged = h * vision.spatial_merge_size * vision.spatial_merge_size;
  const double n_patches = static_cast<double>(grid.n_patches());
  const double n_tokens = n_patches * h / merged;
  const double block = h * 3 * h + h * h + 3 * h * f;  // qkv, proj, gate, up, down
  const WindowOrder order = window_order(std::span(&grid, 1), vision);
  const double n_full = static_cast<double>(vision.full_attention_blocks.size());

  Work work;
  work.linear_ops = 2 * n_patches * (vision.patch_width() * h + vision.depth * block) +
                    2 * n_tokens * merged * (merged + vision.out_hidden_size);
  work.attention_ops =
      4 * h *
      ((vision.depth - n_full) * pairs_within(order.windows) + n_full * pairs_within(order.frames));
  return work;
}

Work forward_work(const TextConfig& text, std::int64_t n_rows, std::int64_t cache_start,
                  std::int64_t n_logit_rows) {
  const double h = text.hidden_size, n = static_cast<double>(n_rows);
  const double q = double{1} * text.n_heads * text.head_dim;
  const double kv = double{1} * text.n_kv_heads * text.head_dim;
  const double layer = h * (q + 2 * kv) + q * h + 3 * h * text.intermediate_size;
  // Row r sees cache_start + r + 1 tokens.
  const double pairs = n * static_cast<double>(cache_start) + n * (n + 1) / 2;

  Work work;
  work.linear_ops =
      2 * n * text.n_layers * layer + 2 * static_cast<double>(n_logit_rows) * h * text.vocab_size;
  work.attention_ops = 4 * q * text.n_layers * pairs;
  return work;
}

}  // namespace qwenvl::qwen2_5_vl
