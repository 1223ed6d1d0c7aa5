// The verbs a model is written with, and what they act on.
// Before: models/*/vision.cpp and language.cpp call them.   After: reference/ and cpu/ carry them
// out.
//
// Activations are float32 or bf16 (the compute type of a run). Arithmetic is always float32; in a
// bf16 run results are rounded to bf16 exactly where the reference rounds, which each verb states.
// Every output row depends on its own input row only and is summed in an order that does not depend
// on how many rows are computed together: batches of any size give the same bits.
//
// Shapes:  T rows · H width · Q query heads · K key/value heads · D head size
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "formats/weight.h"

namespace qwenvl {

// Tokens in one page of the key/value cache; also the width of an attention tile.
inline constexpr int kKvPageTokens = 64;

// How keys and values lie in a page: for each layer K then V, each [n_kv_heads, kKvPageTokens,
// head_dim] of the type.
//
// i8: every head's numbers of a token are rounded to 8 bits, numbers ≈ scale · q; behind the
// numbers of a head come the scales of its tokens, float32. Keys are rotated first
// (formats/rotation.h), and queries when they meet them; what is read back is rounded to the
// compute type.
struct KvLayout {
  int n_layers = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  DType type = DType::bf16;

  bool is_int8() const { return type == DType::i8; }
  // Bytes of one head of a page: its numbers, and the scales behind them.
  std::int64_t numbers_bytes() const {
    return std::int64_t{kKvPageTokens} * head_dim * static_cast<std::int64_t>(size_of(type));
  }
  std::int64_t head_bytes() const {
    return numbers_bytes() + (is_int8() ? kKvPageTokens * std::int64_t{sizeof(float)} : 0);
  }
  std::int64_t page_bytes() const { return head_bytes() * n_kv_heads * 2 * n_layers; }
  std::byte* keys(std::byte* page, int layer, int head) const {
    return page + (std::int64_t{layer} * 2 * n_kv_heads + head) * head_bytes();
  }
  std::byte* values(std::byte* page, int layer, int head) const {
    return page + ((std::int64_t{layer} * 2 + 1) * n_kv_heads + head) * head_bytes();
  }
  // `head`: what keys() or values() returned.
  float* scales(std::byte* head) const { return reinterpret_cast<float*>(head + numbers_bytes()); }
};

// Rows [first_row, first_row + n_rows) of a step are the tokens cache_start, cache_start + 1, … of
// one sequence, whose page i holds tokens [64 i, 64 i + 64).
struct SequenceRows {
  std::int64_t first_row = 0;
  std::int64_t n_rows = 0;
  std::int64_t cache_start = 0;
  std::vector<std::byte*> pages;
};

// The key/value cache of all sequences in a step.
struct KvView {
  KvLayout layout;
  std::vector<SequenceRows> sequences;
};

// Queries [q_begin, q_end) attend to keys [k_begin, k_end), all of them.
struct AttentionSpan {
  std::int64_t q_begin, q_end;
  std::int64_t k_begin, k_end;
};

// Rows that are multiplied: as they are, or normed first.
struct LinearInput {
  LinearInput(Tensor rows) : x(rows) {}  // NOLINT: a tensor is the plain case
  LinearInput(Tensor rows, std::span<const float> weight, float epsilon, Tensor spare)
      : x(rows), norm(weight), eps(epsilon), room(spare) {}

  Tensor x;                     // [T, n_in]
  std::span<const float> norm;  // [n_in]: what rms_norm makes of x is multiplied. Empty: x itself
  float eps = 0;
  Tensor room;  // [T, n_in]: what rms_norm makes may be left here. With `norm` only
};

// One of several products of the same rows.
struct LinearPart {
  const Weight* weight;
  std::span<const float> bias;  // [n_out] float32, or empty
  Tensor out;                   // [T, n_out]
  // [T, n_out], or empty. What linear would leave in out is added to it, rounded again; what out
  // then holds is not stated.
  Tensor sum;
};

// Where the reference rounds when it rotates in bf16.
enum class RopeRounding {
  once,          // float32 throughout, the result rounded (vision tower)
  each_product,  // cos, sin, both products and the sum rounded (decoder)
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;

  // out[t] = table[ids[t]], rounded to out's type.                 out [T, H]
  virtual void embed_rows(const Weight& table, std::span<const std::int32_t> ids, Tensor out) = 0;

  // out = x · Wᵀ + bias, rounded once; bias may be empty ([n_out] float32).
  // In a bf16 run weights stored wider than bf16 are rounded to bf16 first.   x [T, n_in], out [T,
  // n_out]
  virtual void linear(Tensor x, const Weight& w, std::span<const float> bias, Tensor out) = 0;

  // linear, for each part.
  virtual void linears(const LinearInput& input, std::span<const LinearPart> parts) {
    const Tensor x = multiplied(input);
    for (const LinearPart& part : parts) {
      linear(x, *part.weight, part.bias, part.out);
      if (part.sum.data) add(part.sum, part.out);
    }
  }

  // Whether gated_linear needs up.out; else it may be empty.
  virtual bool needs_up(const Weight& /*gate*/, const Weight& /*up*/) const { return true; }

  // gate.out = round(silu(g)) · u, rounded, with g and u what linear would leave in gate.out and
  // up.out. What up.out then holds is not stated.                   outs [T, F]
  virtual void gated_linear(const LinearInput& input, const LinearPart& gate,
                            const LinearPart& up) {
    const LinearPart parts[] = {gate, up};
    linears(input, parts);
    silu_mul(gate.out, up.out);
  }

  // Whether feed_forward needs gate.out; else it may be empty, and so may up.out.
  virtual bool needs_gated(const Weight& /*gate*/, const Weight& /*up*/,
                           const Weight& /*down*/) const {
    return true;
  }

  // down.out = what linear makes of gated_linear's gate.out. What gate.out and up.out then hold is
  // not stated. down.out may be the input's room.
  virtual void feed_forward(const LinearInput& input, const LinearPart& gate, const LinearPart& up,
                            const LinearPart& down) {
    gated_linear(input, gate, up);
    linears(gate.out, {&down, 1});
  }

  // x += y, rounded.                                                [T, H]
  virtual void add(Tensor x, Tensor y) = 0;

  // out = weight · round(x · rsqrt(mean(x²) + eps)), rounded again. weight [H] float32
  virtual void rms_norm(Tensor x, std::span<const float> weight, float eps, Tensor out) = 0;

  // In place on x [T, n_heads · D]: x' = x · cos + rot(x) · sin with rot([u, v]) = [-v, u].
  // cos, sin: float32 [T, D / 2], each serving both halves of a head.
  virtual void rope(Tensor x, int n_heads, Tensor cos, Tensor sin, RopeRounding rounding) = 0;

  // k, v [T, K · D] into the pages of `layer`, converted to the cache's type.
  virtual void store_kv(Tensor k, Tensor v, const KvView& kv, int layer) = 0;

  // Causal attention against the cache, which already holds the step's own keys: row r of a
  // sequence sees tokens 0 … cache_start + r.                      q, out [T, Q · D]
  virtual void attention_cached(Tensor q, int n_heads, const KvView& kv, int layer, float scale,
                                Tensor out) = 0;

  // Attention without a mask inside each span.          q, out [T, heads · D], k, v [S, heads · D]
  virtual void attention_spans(Tensor q, Tensor k, Tensor v, int n_heads,
                               std::span<const AttentionSpan> spans, float scale, Tensor out) = 0;

  // gate = round(silu(gate)) · up, rounded.                         [T, F]
  virtual void silu_mul(Tensor gate, Tensor up) = 0;

  // x = gelu(x), the exact erf form, rounded.                       [T, F]
  virtual void gelu(Tensor x) = 0;

  // Memory that `linear` keeps for n_rows rows of the type, and that attention keeps: at most.
  virtual std::int64_t linear_bytes(std::int64_t n_rows, const Weight& w, DType type) const = 0;
  // Of feed_forward that does not need gate.out, besides linear_bytes of gate and up.
  virtual std::int64_t feed_forward_bytes(std::int64_t /*n_rows*/, const Weight& /*gate*/,
                                          const Weight& /*down*/, DType /*type*/) const {
    return 0;
  }
  virtual std::int64_t attention_bytes(std::int64_t n_rows, std::int64_t width, int n_heads,
                                       DType type) const = 0;

  // Gives back what is counted there and kept for the next call: what comes next needs less.
  virtual void forget_scratch() {}

  // fn(i) for i in [0, n) on the back end's threads: for work that is not arithmetic on tensors.
  virtual void parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& fn) = 0;

 protected:
  Tensor multiplied(const LinearInput& input) {
    if (input.norm.empty()) return input.x;
    rms_norm(input.x, input.norm, input.eps, input.room);
    return input.room;
  }
};

// "auto", "cpu" or "reference"; n_threads 0 means every core available. Throws bad_request.
std::unique_ptr<Backend> make_backend(const std::string& name, int n_threads);

}  // namespace qwenvl
