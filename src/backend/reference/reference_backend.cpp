// Every verb as the obvious loop, summed in double where that costs nothing but time.
// Before: models/*/vision.cpp and language.cpp.   After: the tests compare the other back ends.
#include "backend/reference/reference_backend.h"

#include <cmath>
#include <vector>

#include "formats/packed.h"
#include "formats/rotation.h"

namespace qwenvl {
namespace {

float load(const void* data, DType type, std::int64_t i) {
  switch (type) {
    case DType::f32: return static_cast<const float*>(data)[i];
    case DType::bf16: return to_float(static_cast<const bf16*>(data)[i]);
    case DType::f16: return to_float(static_cast<const fp16*>(data)[i]);
    default: QWENVL_CHECK(false, "a {} tensor in arithmetic", name_of(type));
  }
  return 0;
}

float rounded(float x, DType type) { return type == DType::bf16 ? rounded_to<bf16>(x) : x; }

void store(void* data, DType type, std::int64_t i, float x) {
  if (type == DType::bf16) {
    static_cast<bf16*>(data)[i] = to_bf16(x);
  } else {
    QWENVL_CHECK(type == DType::f32, "a {} tensor in arithmetic", name_of(type));
    static_cast<float*>(data)[i] = x;
  }
}

float at(const Tensor& x, std::int64_t row, std::int64_t column) {
  return load(x.data, x.type, row * x.row_stride + column);
}

void put(const Tensor& x, std::int64_t row, std::int64_t column, float value) {
  store(x.data, x.type, row * x.row_stride + column, value);
}

// A key/value cache read token by token.
struct CachedHead {
  const KvView& kv;
  const SequenceRows& sequence;
  int layer, head;
  DType compute;

  std::byte* page(std::int64_t token) const { return sequence.pages[token / kKvPageTokens]; }
  float key(std::int64_t token, int d) const {
    return number(kv.layout.keys(page(token), layer, head), token % kKvPageTokens, d);
  }
  float value(std::int64_t token, int d) const {
    return number(kv.layout.values(page(token), layer, head), token % kKvPageTokens, d);
  }

 private:
  float number(std::byte* stored, std::int64_t token, int d) const {
    const std::int64_t i = token * kv.layout.head_dim + d;
    if (!kv.layout.is_int8()) return load(stored, kv.layout.type, i);
    const float q = reinterpret_cast<const std::int8_t*>(stored)[i];
    return rounded(kv.layout.scales(stored)[token] * q, compute);
  }
};

// One head of one token → its place in a page, whatever the page's type.
void store_head(const KvLayout& layout, std::vector<float> numbers, bool is_key, std::int64_t token,
                std::byte* stored) {
  if (layout.is_int8()) {
    if (is_key) rotate_row(numbers.data(), layout.head_dim);
    layout.scales(stored)[token] =
        quantise_group(numbers.data(), layout.head_dim,
                       reinterpret_cast<std::int8_t*>(stored) + token * layout.head_dim);
    return;
  }
  for (int d = 0; d < layout.head_dim; ++d)
    store(stored, layout.type, token * layout.head_dim + d, numbers[static_cast<std::size_t>(d)]);
}

std::vector<float> head_of(const Tensor& x, std::int64_t row, int head, int head_dim) {
  std::vector<float> numbers;
  for (int d = 0; d < head_dim; ++d)
    numbers.push_back(at(x, row, std::int64_t{head} * head_dim + d));
  return numbers;
}

// out = softmax(q · kᵀ · scale) · v for one query row and one head, n_keys keys.
template <class Query, class Key, class Value, class Out>
void attend(Query query, Key key, Value value, Out out, std::int64_t n_keys, int head_dim,
            float scale) {
  std::vector<double> weights(static_cast<std::size_t>(n_keys));
  double largest = -INFINITY;
  for (std::int64_t j = 0; j < n_keys; ++j) {
    double score = 0;
    for (int d = 0; d < head_dim; ++d) score += double{query(d)} * key(j, d);
    weights[j] = score * scale;
    largest = std::max(largest, weights[j]);
  }
  double total = 0;
  for (double& w : weights) total += w = std::exp(w - largest);
  for (int d = 0; d < head_dim; ++d) {
    double sum = 0;
    for (std::int64_t j = 0; j < n_keys; ++j) sum += weights[j] * value(j, d);
    out(d, static_cast<float>(sum / total));
  }
}

// Row n of a matrix: plain weights rounded to the compute type, packed ones as they are.
std::vector<float> row_of(const Weight& w, std::int64_t n, DType compute) {
  std::vector<float> row(static_cast<std::size_t>(w.n_in));
  if (w.is_packed()) {
    unpack_row(w, n, row.data());
    return row;
  }
  for (std::int64_t k = 0; k < w.n_in; ++k) row[k] = rounded(load(w.row(n), w.format, k), compute);
  return row;
}

// Row t of x as it is multiplied with w: for packed weights what its 8 bits stand for.
std::vector<double> multiplied_row(const Tensor& x, std::int64_t t, const Weight& w) {
  std::vector<float> row(static_cast<std::size_t>(w.n_in));
  for (std::int64_t k = 0; k < w.n_in; ++k) row[k] = at(x, t, k);
  if (!w.is_packed()) return {row.begin(), row.end()};
  const std::int64_t padded = padded_to_blocks(w.n_in);
  const bool is_grouped = w.packing != Packing::int8;
  std::vector<std::int8_t> q(static_cast<std::size_t>(padded));
  std::vector<float> scales(static_cast<std::size_t>(padded / kBlock));
  std::vector<std::int32_t> sums(static_cast<std::size_t>(padded / kSubGroup));
  quantise_activations(row.data(), w.n_in, is_grouped, q.data(), scales.data(), sums.data());
  std::vector<double> out;
  for (std::int64_t k = 0; k < w.n_in; ++k) {
    out.push_back(double{scales[is_grouped ? k / kBlock : 0]} * q[k]);
  }
  return out;
}

class ReferenceBackend final : public Backend {
 public:
  std::string name() const override { return "reference"; }

  void embed_rows(const Weight& table, std::span<const std::int32_t> ids, Tensor out) override {
    for (std::size_t t = 0; t < ids.size(); ++t) {
      const std::vector<float> row = row_of(table, ids[t], DType::f32);
      for (std::int64_t h = 0; h < table.n_in; ++h) put(out, t, h, row[h]);
    }
  }

  void linear(Tensor x, const Weight& w, std::span<const float> bias, Tensor out) override {
    std::vector<std::vector<double>> rows;
    for (std::int64_t t = 0; t < x.rows(); ++t) rows.push_back(multiplied_row(x, t, w));
    for (std::int64_t n = 0; n < w.n_out; ++n) {
      const std::vector<float> weights = row_of(w, n, x.type);
      for (std::int64_t t = 0; t < x.rows(); ++t) {
        double sum = bias.empty() ? 0.0 : bias[n];
        for (std::int64_t k = 0; k < w.n_in; ++k) sum += rows[t][k] * weights[k];
        put(out, t, n, static_cast<float>(sum));
      }
    }
  }

  void add(Tensor x, Tensor y) override {
    for (std::int64_t t = 0; t < x.rows(); ++t) {
      for (std::int64_t h = 0; h < x.row_width(); ++h) put(x, t, h, at(x, t, h) + at(y, t, h));
    }
  }

  void rms_norm(Tensor x, std::span<const float> weight, float eps, Tensor out) override {
    const std::int64_t width = x.row_width();
    for (std::int64_t t = 0; t < x.rows(); ++t) {
      double sum = 0;
      for (std::int64_t h = 0; h < width; ++h) sum += double{at(x, t, h)} * at(x, t, h);
      const float scale =
          static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(width) + eps));
      for (std::int64_t h = 0; h < width; ++h) {
        put(out, t, h, weight[h] * rounded(at(x, t, h) * scale, out.type));
      }
    }
  }

  void rope(Tensor x, int n_heads, Tensor cos, Tensor sin, RopeRounding rounding) override {
    const DType step = rounding == RopeRounding::each_product ? x.type : DType::f32;
    const std::int64_t half = x.row_width() / n_heads / 2;
    for (std::int64_t t = 0; t < x.rows(); ++t) {
      for (std::int64_t h = 0; h < n_heads; ++h) {
        for (std::int64_t d = 0; d < half; ++d) {
          const float c = rounded(at(cos, t, d), step), s = rounded(at(sin, t, d), step);
          const float u = at(x, t, h * 2 * half + d), v = at(x, t, h * 2 * half + half + d);
          put(x, t, h * 2 * half + d, rounded(u * c, step) + rounded(-v * s, step));
          put(x, t, h * 2 * half + half + d, rounded(v * c, step) + rounded(u * s, step));
        }
      }
    }
  }

  void store_kv(Tensor k, Tensor v, const KvView& kv, int layer) override {
    const KvLayout& layout = kv.layout;
    for (const SequenceRows& sequence : kv.sequences) {
      for (std::int64_t r = 0; r < sequence.n_rows; ++r) {
        const std::int64_t token = sequence.cache_start + r;
        std::byte* page = sequence.pages[token / kKvPageTokens];
        for (int head = 0; head < layout.n_kv_heads; ++head) {
          const std::int64_t row = sequence.first_row + r;
          store_head(layout, head_of(k, row, head, layout.head_dim), true, token % kKvPageTokens,
                     layout.keys(page, layer, head));
          store_head(layout, head_of(v, row, head, layout.head_dim), false, token % kKvPageTokens,
                     layout.values(page, layer, head));
        }
      }
    }
  }

  void attention_cached(Tensor q, int n_heads, const KvView& kv, int layer, float scale,
                        Tensor out) override {
    const int head_dim = kv.layout.head_dim, group = n_heads / kv.layout.n_kv_heads;
    for (const SequenceRows& sequence : kv.sequences) {
      for (std::int64_t r = 0; r < sequence.n_rows; ++r) {
        const std::int64_t row = sequence.first_row + r;
        for (int h = 0; h < n_heads; ++h) {
          const CachedHead cached{kv, sequence, layer, h / group, q.type};
          std::vector<float> query = head_of(q, row, h, head_dim);
          if (kv.layout.is_int8()) {
            rotate_row(query.data(), head_dim);
            for (float& x : query) x = rounded(x, q.type);
          }
          attend([&](int d) { return query[static_cast<std::size_t>(d)]; },
                 [&](std::int64_t j, int d) { return cached.key(j, d); },
                 [&](std::int64_t j, int d) { return cached.value(j, d); },
                 [&](int d, float x) { put(out, row, std::int64_t{h} * head_dim + d, x); },
                 sequence.cache_start + r + 1, head_dim, scale);
        }
      }
    }
  }

  void attention_spans(Tensor q, Tensor k, Tensor v, int n_heads,
                       std::span<const AttentionSpan> spans, float scale, Tensor out) override {
    const int head_dim = static_cast<int>(q.row_width() / n_heads);
    for (const AttentionSpan& span : spans) {
      for (std::int64_t row = span.q_begin; row < span.q_end; ++row) {
        for (int h = 0; h < n_heads; ++h) {
          const std::int64_t column = std::int64_t{h} * head_dim;
          attend([&](int d) { return at(q, row, column + d); },
                 [&](std::int64_t j, int d) { return at(k, span.k_begin + j, column + d); },
                 [&](std::int64_t j, int d) { return at(v, span.k_begin + j, column + d); },
                 [&](int d, float x) { put(out, row, column + d, x); }, span.k_end - span.k_begin,
                 head_dim, scale);
        }
      }
    }
  }

  void silu_mul(Tensor gate, Tensor up) override {
    for (std::int64_t t = 0; t < gate.rows(); ++t) {
      for (std::int64_t f = 0; f < gate.row_width(); ++f) {
        const float g = at(gate, t, f);
        put(gate, t, f, rounded(g / (1.0f + std::exp(-g)), gate.type) * at(up, t, f));
      }
    }
  }

  void gelu(Tensor x) override {
    for (std::int64_t t = 0; t < x.rows(); ++t) {
      for (std::int64_t f = 0; f < x.row_width(); ++f) {
        const float v = at(x, t, f);
        put(x, t, f, v * 0.5f * (1.0f + std::erf(v * 0.70710678118654752f)));
      }
    }
  }

  // Rows of x and one of W in double and float32.
  std::int64_t linear_bytes(std::int64_t n_rows, const Weight& w, DType) const override {
    return (n_rows + 1) * w.n_in * static_cast<std::int64_t>(sizeof(double));
  }
  // One query and its weights, which no context makes large.
  std::int64_t attention_bytes(std::int64_t, std::int64_t, int, DType) const override {
    return std::int64_t{1} << 20;
  }

  void parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& fn) override {
    for (std::int64_t i = 0; i < n; ++i) fn(i);
  }
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace qwenvl
