// A back end that shows the input of every product before another one computes it.
// Before: models/*/vision.cpp and language.cpp call verbs.   After: the back end it is put in front
// of.
#pragma once

#include <functional>

#include "backend/backend.h"

namespace qwenvl {

class ObservedBackend final : public Backend {
 public:
  // May throw: that ends the run of the model.
  using Observer = std::function<void(const Tensor& x, const Weight& w)>;

  // `inner` must outlive this.
  ObservedBackend(Backend& inner, Observer observer)
      : inner_(inner), observer_(std::move(observer)) {}

  std::string name() const override { return inner_.name(); }

  // Products of several matrices are left to Backend, which takes them apart into these.
  void linear(Tensor x, const Weight& w, std::span<const float> bias, Tensor out) override {
    observer_(x, w);
    inner_.linear(x, w, bias, out);
  }

  void embed_rows(const Weight& table, std::span<const std::int32_t> ids, Tensor out) override {
    inner_.embed_rows(table, ids, out);
  }
  void add(Tensor x, Tensor y) override { inner_.add(x, y); }
  void rms_norm(Tensor x, std::span<const float> weight, float eps, Tensor out) override {
    inner_.rms_norm(x, weight, eps, out);
  }
  void rope(Tensor x, int n_heads, Tensor cos, Tensor sin, RopeRounding rounding) override {
    inner_.rope(x, n_heads, cos, sin, rounding);
  }
  void store_kv(Tensor k, Tensor v, const KvView& kv, int layer) override {
    inner_.store_kv(k, v, kv, layer);
  }
  void attention_cached(Tensor q, int n_heads, const KvView& kv, int layer, float scale,
                        Tensor out) override {
    inner_.attention_cached(q, n_heads, kv, layer, scale, out);
  }
  void attention_spans(Tensor q, Tensor k, Tensor v, int n_heads,
                       std::span<const AttentionSpan> spans, float scale, Tensor out) override {
    inner_.attention_spans(q, k, v, n_heads, spans, scale, out);
  }
  void silu_mul(Tensor gate, Tensor up) override { inner_.silu_mul(gate, up); }
  void gelu(Tensor x) override { inner_.gelu(x); }
  std::int64_t linear_bytes(std::int64_t n_rows, const Weight& w, DType type) const override {
    return inner_.linear_bytes(n_rows, w, type);
  }
  std::int64_t attention_bytes(std::int64_t n_rows, std::int64_t width, int n_heads,
                               DType type) const override {
    return inner_.attention_bytes(n_rows, width, n_heads, type);
  }
  void parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& fn) override {
    inner_.parallel_for(n, fn);
  }

 private:
  Backend& inner_;
  const Observer observer_;
};

}  // namespace qwenvl
