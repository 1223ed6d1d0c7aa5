// The text decoder: token ids and picture features in, logits out.
// Before: engine/scheduling/scheduler.cpp fills the Batch.   After: engine/generation/sampler.cpp
// reads the logits. Mirrors the decoder of the reference modeling_qwen2_5_vl.py.
//
// Shapes:  T rows in this step · H hidden 2048 · Q query heads 16 · K key/value heads 2
//          D head size 128 · F mlp width 11008 · V vocabulary 151936
#include "models/qwen2_5_vl/language.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace qwenvl::qwen2_5_vl {
namespace {

class Step {
 public:
  Step(Backend& backend, Workspace& workspace, const TextConfig& config,
       const LanguageWeights& weights, const Batch& batch, DType compute, const Trace* trace)
      : b_(backend),
        w_(workspace),
        c_(config),
        weights_(weights),
        batch_(batch),
        compute_(compute),
        trace_(trace),
        n_rows_(static_cast<std::int64_t>(batch.ids.size())) {}

  void run(const RopeFrequencies& frequencies, Tensor logits) {
    build_rope(frequencies);
    Tensor x = w_.take(compute_, {n_rows_, c_.hidden_size});  // [T, H], the residual stream
    embed(x);
    traced("decoder.embedding", 0, x);
    const Rows all{x, cos_, sin_, batch_.kv};
    for (int i = 0; i + 1 < c_.n_layers; ++i) {
      const Workspace::Scope scope(w_);
      layer(i, all, all);
      traced("decoder.layer", i, x);
    }
    // Of the last layer only the rows with logits go on; the others leave their keys and values.
    const bool is_traced = trace_ && *trace_;
    const Rows asked = is_traced ? all : asked_rows(x);
    {
      const Workspace::Scope scope(w_);
      layer(c_.n_layers - 1, all, asked);
    }
    traced("decoder.layer", c_.n_layers - 1, x);
    if (batch_.logit_rows.empty()) return;
    head(is_traced ? asked_rows(x).x : asked.x, logits);
  }

 private:
  void traced(const char* name, int layer, const Tensor& value) {
    if (trace_ && *trace_) (*trace_)(name, layer, value);
  }

  // Frequency j of a head turns with the time, height or width of the token: mrope_section says
  // which.
  void build_rope(const RopeFrequencies& frequencies) {
    const int half = c_.head_dim / 2;
    cos_ = w_.take(DType::f32, {n_rows_, half});
    sin_ = w_.take(DType::f32, {n_rows_, half});
    std::vector<int> axis;
    for (int a = 0; a < 3; ++a)
      axis.insert(axis.end(), static_cast<std::size_t>(c_.mrope_section[a]), a);
    for (std::int64_t t = 0; t < n_rows_; ++t) {
      for (int j = 0; j < half; ++j) {
        const float position = static_cast<float>(batch_.positions[axis[j] * n_rows_ + t]);
        const float angle = position * frequencies.inverse[j];
        cos_.row<float>(t)[j] = std::cos(angle) * frequencies.attention_scaling;
        sin_.row<float>(t)[j] = std::sin(angle) * frequencies.attention_scaling;
      }
    }
  }

  // h = embed_tokens[ids], picture rows overwritten by their features
  void embed(Tensor x) {
    b_.embed_rows(weights_.embedding, batch_.ids, x);
    for (const FeatureRows& rows : batch_.features) {
      QWENVL_CHECK(rows.features.type == compute_ && rows.features.is_contiguous() &&
                       rows.features.row_width() == c_.hidden_size,
                   "features are {} {}", name_of(rows.features.type), rows.features.shape.str());
      const Tensor to = x.slice_rows(rows.first_row, rows.features.rows());
      std::copy_n(static_cast<const std::byte*>(rows.features.data),
                  rows.features.shape.count() * static_cast<std::int64_t>(size_of(compute_)),
                  static_cast<std::byte*>(to.data));
    }
  }

  // Rows of the residual stream, their rotations, and which tokens of which sequences they are.
  struct Rows {
    Tensor x, cos, sin;  // [n, H], [n, D / 2] ×2
    KvView kv;
  };

  // Copies of the rows whose logits are asked for.
  Rows asked_rows(Tensor x) {
    const std::int64_t n = static_cast<std::int64_t>(batch_.logit_rows.size());
    const int half = c_.head_dim / 2;
    Rows rows{w_.take(compute_, {std::max<std::int64_t>(n, 1), c_.hidden_size}),
              w_.take(DType::f32, {std::max<std::int64_t>(n, 1), half}),
              w_.take(DType::f32, {std::max<std::int64_t>(n, 1), half}),
              {batch_.kv.layout, {}}};
    for (Tensor* part : {&rows.x, &rows.cos, &rows.sin}) *part = part->slice_rows(0, n);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t row = batch_.logit_rows[i];
      copy_row(x, row, rows.x, i);
      copy_row(cos_, row, rows.cos, i);
      copy_row(sin_, row, rows.sin, i);
      for (const SequenceRows& sequence : batch_.kv.sequences) {
        const std::int64_t within = row - sequence.first_row;
        if (within < 0 || within >= sequence.n_rows) continue;
        rows.kv.sequences.push_back({i, 1, sequence.cache_start + within, sequence.pages});
      }
    }
    return rows;
  }

  static void copy_row(const Tensor& from, std::int64_t row, const Tensor& to, std::int64_t at) {
    const std::int64_t element = static_cast<std::int64_t>(size_of(from.type));
    std::copy_n(static_cast<const std::byte*>(from.data) + row * from.row_stride * element,
                from.row_width() * element,
                static_cast<std::byte*>(to.data) + at * to.row_stride * element);
  }

  // Keys and values of all rows go into the cache; `asked` rows are computed to the end. Their x
  // holds the same numbers as in `all` when the layer begins.
  void layer(int index, const Rows& all, const Rows& asked) {
    const DecoderLayer& l = weights_.layers[static_cast<std::size_t>(index)];
    attention(l, index, all, asked);
    if (asked.x.rows() > 0) feed_forward(l, asked.x);
  }

  void attention(const DecoderLayer& l, int index, const Rows& all, const Rows& asked) {
    const Workspace::Scope scope(w_);
    const bool is_everything_asked = asked.x.data == all.x.data;
    Tensor q = w_.take(compute_, {std::max<std::int64_t>(asked.x.rows(), 1),
                                  std::int64_t{c_.n_heads} * c_.head_dim});  // [T, Q·D]
    store_keys(l, index, all, is_everything_asked ? &q : nullptr);
    if (asked.x.rows() == 0) return;
    if (!is_everything_asked) project_queries(l, asked, q);
    attend(l, index, asked, q);
  }

  // Queries of the same rows, where they are wanted, share what the products have in common.
  void store_keys(const DecoderLayer& l, int index, const Rows& rows, const Tensor* q) {
    const Workspace::Scope scope(w_);
    const std::int64_t n = rows.x.rows(), kv_width = std::int64_t{c_.n_kv_heads} * c_.head_dim;
    Tensor h = w_.take(compute_, {n, c_.hidden_size});
    Tensor k = w_.take(compute_, {n, kv_width});  // [T, K·D]
    Tensor v = w_.take(compute_, {n, kv_width});
    std::vector<LinearPart> parts = {{&l.k.weight, l.k.bias, k, {}},
                                     {&l.v.weight, l.v.bias, v, {}}};
    if (q) parts.push_back({&l.q.weight, l.q.bias, *q, {}});
    b_.linears({rows.x, l.input_norm, c_.rms_norm_eps, h}, parts);
    b_.rope(k, c_.n_kv_heads, rows.cos, rows.sin, RopeRounding::each_product);
    b_.store_kv(k, v, rows.kv, index);
    if (q) b_.rope(*q, c_.n_heads, rows.cos, rows.sin, RopeRounding::each_product);
  }

  void project_queries(const DecoderLayer& l, const Rows& rows, Tensor q) {
    const Workspace::Scope scope(w_);
    Tensor h = w_.take(compute_, {rows.x.rows(), c_.hidden_size});
    const LinearPart part{&l.q.weight, l.q.bias, q, {}};
    b_.linears({rows.x, l.input_norm, c_.rms_norm_eps, h}, {&part, 1});
    b_.rope(q, c_.n_heads, rows.cos, rows.sin, RopeRounding::each_product);
  }

  // x = x + o( softmax(q·kᵀ · D^-0.5 + causal mask) · v )
  void attend(const DecoderLayer& l, int index, const Rows& rows, Tensor q) {
    const Workspace::Scope scope(w_);
    const std::int64_t n = rows.x.rows();
    Tensor h = w_.take(compute_, {n, c_.hidden_size});
    Tensor a = w_.take(compute_, {n, q.row_width()});
    const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c_.head_dim)));
    b_.attention_cached(q, c_.n_heads, rows.kv, index, scale, a);
    const LinearPart o{&l.o.weight, {}, h, rows.x};
    b_.linears(a, {&o, 1});
  }

  // x = x + down( silu(gate h) · up h )
  void feed_forward(const DecoderLayer& l, Tensor x) {
    const Workspace::Scope scope(w_);
    const std::int64_t n = x.rows();
    Tensor h = w_.take(compute_, {n, c_.hidden_size});
    const auto hidden = [&](bool is_needed) {  // [T, F]
      return is_needed ? w_.take(compute_, {n, c_.intermediate_size}) : Tensor();
    };
    const Weight &g = l.gate.weight, &u = l.up.weight, &d = l.down.weight;
    const bool needs_gated = b_.needs_gated(g, u, d);
    const Tensor gate = hidden(needs_gated), up = hidden(needs_gated && b_.needs_up(g, u));
    b_.feed_forward({x, l.post_attention_norm, c_.rms_norm_eps, h}, {&g, {}, gate, {}},
                    {&u, {}, up, {}}, {&d, {}, h, x});
  }

  // logits = norm(x) · Eᵀ for the rows that are asked for
  void head(Tensor x, Tensor logits) {
    const Workspace::Scope scope(w_);
    const std::int64_t n = x.rows();
    Tensor h = w_.take(compute_, {n, c_.hidden_size});
    b_.rms_norm(x, weights_.norm, c_.rms_norm_eps, h);
    traced("decoder.norm", 0, h);
    if (compute_ == DType::f32) {
      b_.linear(h, weights_.head, {}, logits);
      return;
    }
    Tensor rounded = w_.take(compute_, {n, c_.vocab_size});
    b_.linear(h, weights_.head, {}, rounded);
    for (std::int64_t i = 0; i < n; ++i) {
      std::transform(rounded.row<bf16>(i), rounded.row<bf16>(i) + c_.vocab_size,
                     logits.row<float>(i), [](bf16 value) { return to_float(value); });
    }
  }

  Backend& b_;
  Workspace& w_;
  const TextConfig& c_;
  const LanguageWeights& weights_;
  const Batch& batch_;
  const DType compute_;
  const Trace* trace_;
  const std::int64_t n_rows_;
  Tensor cos_, sin_;  // [T, D / 2] float32
};

}  // namespace

RopeFrequencies rope_frequencies(const TextConfig& config) {
  RopeFrequencies out;
  const int half = config.head_dim / 2;
  const float base = static_cast<float>(config.rope_theta);
  for (int j = 0; j < half; ++j) {
    out.inverse.push_back(1.0f /
                          std::pow(base, static_cast<float>(2 * j) / static_cast<float>(2 * half)));
  }
  if (!config.yarn) return out;
  // YaRN: high frequencies keep their speed, low ones slow down by the factor, with a ramp between.
  const YarnConfig& yarn = *config.yarn;
  const double dim = config.head_dim;
  const auto correction = [&](double rotations) {
    return dim * std::log(yarn.original_max_positions / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(config.rope_theta));
  };
  const double low = std::max(std::floor(correction(yarn.beta_fast)), 0.0);
  double high = std::min(std::ceil(correction(yarn.beta_slow)), dim - 1);
  if (high == low) high += 0.001;
  for (int j = 0; j < half; ++j) {
    const float ramp = std::clamp(static_cast<float>((j - low) / (high - low)), 0.0f, 1.0f);
    const float plain = out.inverse[j];
    out.inverse[j] = plain / static_cast<float>(yarn.factor) * ramp + plain * (1.0f - ramp);
  }
  out.attention_scaling = static_cast<float>(
      yarn.attention_factor.value_or(yarn.factor <= 1 ? 1.0 : 0.1 * std::log(yarn.factor) + 1.0));
  return out;
}

void decode_step(Backend& backend, Workspace& workspace, const TextConfig& config,
                 const LanguageWeights& weights, const RopeFrequencies& frequencies,
                 const Batch& batch, DType compute, Tensor logits, const Trace* trace) {
  const Workspace::Scope scope(workspace);
  Step(backend, workspace, config, weights, batch, compute, trace).run(frequencies, logits);
}

}  // namespace qwenvl::qwen2_5_vl
