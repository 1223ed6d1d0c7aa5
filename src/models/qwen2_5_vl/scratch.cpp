// The tensors of a step, taken but never written.
#include "models/qwen2_5_vl/scratch.h"

#include <algorithm>

#include "models/qwen2_5_vl/input/windows.h"

namespace qwenvl::qwen2_5_vl {
namespace {

// What the tensors of a workspace come to, and the largest need of a back end beside it.
struct Counter {
  const Backend& backend;
  const DType compute;
  Workspace workspace = Workspace::counting();
  std::int64_t linear = 0, attention = 0, hidden = 0;

  void take(std::int64_t rows, std::int64_t width) { workspace.take(compute, {rows, width}); }
  void take_floats(std::int64_t rows, std::int64_t width) {
    workspace.take(DType::f32, {rows, width});
  }
  void multiply(std::int64_t rows, const Weight& w) {
    linear = std::max(linear, backend.linear_bytes(rows, w, compute));
  }
  void feed_forward(std::int64_t rows, const Weight& gate, const Weight& down) {
    hidden = std::max(hidden, backend.feed_forward_bytes(rows, gate, down, compute));
  }
  void attend(std::int64_t rows, std::int64_t width, int n_heads) {
    attention = std::max(attention, backend.attention_bytes(rows, width, n_heads, compute));
  }
  Scratch result() const {
    return {static_cast<std::int64_t>(workspace.peak_bytes()), linear + attention + hidden};
  }
};

// ---- the tower ---------------------------------------------------------------------------------

void count_finish(Counter& c, const VisionConfig& v, const VisionBlock& block, std::int64_t n) {
  const Workspace::Scope scope(c.workspace);
  c.take(n, v.hidden_size);
  c.take(n, v.hidden_size);
  c.attend(n, v.hidden_size, v.n_heads);
  c.multiply(n, block.proj.weight);
  c.take(n, v.intermediate_size);
  if (c.backend.needs_up(block.gate.weight, block.up.weight)) c.take(n, v.intermediate_size);
  c.multiply(n, block.gate.weight);
  c.multiply(n, block.up.weight);
  c.multiply(n, block.down.weight);
}

void count_block(Counter& c, const VisionConfig& v, const VisionBlock& block, std::int64_t n,
                 std::int64_t qkv_rows) {
  const Workspace::Scope scope(c.workspace);
  c.take(qkv_rows, 3 * std::int64_t{v.hidden_size});
  {
    const Workspace::Scope project(c.workspace);
    c.take(n, v.hidden_size);
    c.multiply(n, block.qkv.weight);
  }
  count_finish(c, v, block, n);
}

void count_merge(Counter& c, const VisionConfig& v, const VisionWeights& weights, std::int64_t n) {
  const Workspace::Scope scope(c.workspace);
  c.take(n, v.hidden_size);
  c.take(n / 4, 4 * std::int64_t{v.hidden_size});
  c.multiply(n / 4, weights.merger_in.weight);
  c.take(n / 4, v.out_hidden_size);
  c.multiply(n / 4, weights.merger_out.weight);
}

// ---- the decoder -------------------------------------------------------------------------------

void count_keys(Counter& c, const TextConfig& t, const DecoderLayer& l, std::int64_t n) {
  const Workspace::Scope scope(c.workspace);
  const std::int64_t kv_width = std::int64_t{t.n_kv_heads} * t.head_dim;
  c.take(n, t.hidden_size);
  c.take(n, kv_width);
  c.take(n, kv_width);
  for (const Linear* linear : {&l.k, &l.v, &l.q}) c.multiply(n, linear->weight);
}

void count_attention(Counter& c, const TextConfig& t, const DecoderLayer& l, std::int64_t n) {
  const Workspace::Scope scope(c.workspace);
  const std::int64_t q_width = std::int64_t{t.n_heads} * t.head_dim;
  c.take(n, t.hidden_size);
  c.take(n, q_width);
  c.attend(n, q_width, t.n_heads);
  c.multiply(n, l.o.weight);
}

void count_feed_forward(Counter& c, const TextConfig& t, const DecoderLayer& l, std::int64_t n) {
  const Workspace::Scope scope(c.workspace);
  c.take(n, t.hidden_size);
  const Weight &gate = l.gate.weight, &up = l.up.weight, &down = l.down.weight;
  c.multiply(n, gate);
  c.multiply(n, up);
  if (!c.backend.needs_gated(gate, up, down)) {
    c.feed_forward(n, gate, down);
    return;
  }
  c.take(n, t.intermediate_size);
  if (c.backend.needs_up(gate, up)) c.take(n, t.intermediate_size);
  c.multiply(n, down);
}

// Queries of rows that are asked for among others take no more than the keys of all did.
void count_layer(Counter& c, const TextConfig& t, const DecoderLayer& l, std::int64_t n,
                 std::int64_t n_asked) {
  {
    const Workspace::Scope scope(c.workspace);
    c.take(std::max<std::int64_t>(n_asked, 1), std::int64_t{t.n_heads} * t.head_dim);
    count_keys(c, t, l, n);
    if (n_asked == 0) return;
    count_attention(c, t, l, n_asked);
  }
  count_feed_forward(c, t, l, n_asked);
}

void count_head(Counter& c, const TextConfig& t, const LanguageWeights& weights, std::int64_t n) {
  const Workspace::Scope scope(c.workspace);
  c.take(n, t.hidden_size);
  if (c.compute != DType::f32) c.take(n, t.vocab_size);
  c.multiply(n, weights.head);
}

}  // namespace

Scratch encode_scratch(const Backend& backend, const VisionConfig& vision,
                       const VisionWeights& weights, const Grid& grid, DType compute) {
  Counter c{backend, compute};
  const std::int64_t n_patches = grid.n_patches();
  const auto chunks = chunks_of(window_order(std::span(&grid, 1), vision).windows);
  c.take_floats(n_patches, vision.head_dim() / 2);
  c.take_floats(n_patches, vision.head_dim() / 2);
  c.take(n_patches, vision.hidden_size);
  for (const RowRange& chunk : chunks) {
    const Workspace::Scope scope(c.workspace);
    c.take(chunk.end - chunk.begin, vision.patch_width());
    c.multiply(chunk.end - chunk.begin, weights.patch_embed.weight);
  }
  for (int i = 0; i < vision.depth; ++i) {
    const auto& full = vision.full_attention_blocks;
    const bool is_full = std::count(full.begin(), full.end(), i) > 0;
    for (const RowRange& chunk : chunks) {
      const std::int64_t n = chunk.end - chunk.begin;
      count_block(c, vision, weights.blocks[static_cast<std::size_t>(i)], n,
                  is_full ? n_patches : n);
    }
  }
  for (const RowRange& chunk : chunks) count_merge(c, vision, weights, chunk.end - chunk.begin);
  return c.result();
}

Scratch forward_scratch(const Backend& backend, const TextConfig& text,
                        const LanguageWeights& weights, std::int64_t n_rows,
                        std::int64_t n_logit_rows, DType compute) {
  Counter c{backend, compute};
  const std::int64_t n_asked = std::max<std::int64_t>(n_logit_rows, 1);
  c.take_floats(n_rows, text.head_dim / 2);
  c.take_floats(n_rows, text.head_dim / 2);
  c.take(n_rows, text.hidden_size);
  for (int i = 0; i + 1 < text.n_layers; ++i)
    count_layer(c, text, weights.layers[static_cast<std::size_t>(i)], n_rows, n_rows);
  c.take(n_asked, text.hidden_size);
  c.take_floats(n_asked, text.head_dim / 2);
  c.take_floats(n_asked, text.head_dim / 2);
  count_layer(c, text, weights.layers.back(), n_rows, n_logit_rows);
  if (n_logit_rows > 0) count_head(c, text, weights, n_logit_rows);
  return c.result();
}

}  // namespace qwenvl::qwen2_5_vl
