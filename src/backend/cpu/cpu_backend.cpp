// Splits each verb over threads and calls the kernel table.
// Before: models/*/vision.cpp and language.cpp.   After: kernels_<isa>.cpp.
#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <limits>

#include "backend/cpu/attention/threaded_attention.h"
#include "backend/cpu/cpu_features.h"
#include "backend/cpu/float_buffer.h"
#include "backend/cpu/linear/bf16_products.h"
#include "backend/cpu/packed/packed_linear.h"
#include "core/thread_pool.h"
#include "formats/packed.h"

namespace qwenvl {
namespace {

using cpu::KernelTable;
using cpu::RowKernels;

constexpr std::int64_t kRowsPerTask = 32;  // of elementwise verbs
constexpr std::int64_t kGemvRows = 3;      // up to here weights are read where they lie
constexpr std::int64_t kWeightBlockBytes =
    384 << 10;  // unpacked weights, stays in the second-level cache
constexpr std::int64_t kRowBlockBytes = 16 << 20;  // widened activations of one pass
constexpr std::int64_t kRowChunk = 48;  // rows multiplied before their results are stored

std::byte* row_of(const Tensor& x, std::int64_t i) {
  return static_cast<std::byte*>(x.data) +
         i * x.row_stride * static_cast<std::int64_t>(size_of(x.type));
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(int n_threads, const KernelTable& kernels)
      : kernels_(kernels),
        pool_(n_threads),
        scratch_(static_cast<std::size_t>(n_threads)),
        packed_(kernels, pool_),
        bf16_(kernels, pool_),
        attention_(kernels, pool_, n_threads) {}

  std::string name() const override { return std::string("cpu/") + kernels_.name; }

  void embed_rows(const Weight& table, std::span<const std::int32_t> ids, Tensor out) override {
    const std::int64_t padded = cpu::padded_to_lanes(table.n_in);
    for_rows(out.rows(), [&](std::int64_t t, int thread) {
      float* row = scratch_[thread].a.floats(padded);
      if (table.is_packed()) {
        unpack_row(table, ids[t], row);
      } else {
        kernels_.unpack(table.row(ids[t]), table.format, false, table.n_in, row);
      }
      rows(out.type).narrow(row, table.n_in, row_of(out, t));
    });
  }

  void linear(Tensor x, const Weight& w, std::span<const float> bias, Tensor out) override {
    check_product(x, w, out);
    if (w.is_packed()) {
      const LinearPart part{&w, bias, out, {}};
      packed_.linears(x, {&part, 1});
      return;
    }
    if (bf16_.can_multiply(x.type, w)) {
      bf16_.linear(x, {&w, bias, out, {}});
      return;
    }
    const std::int64_t padded = cpu::padded_to_lanes(w.n_in);
    const std::int64_t block =
        std::max<std::int64_t>(kRowChunk, kRowBlockBytes / (padded * 4) / kRowChunk * kRowChunk);
    for (std::int64_t begin = 0; begin < x.rows(); begin += block) {
      const std::int64_t n = std::min(block, x.rows() - begin);
      const Tensor x_block = x.slice_rows(begin, n), out_block = out.slice_rows(begin, n);
      const float* a = widened(x_block, padded);
      if (n <= kGemvRows) {
        few_rows(a, padded, n, w, bias, x.type, out_block);
      } else {
        many_rows(a, padded, n, w, bias, x.type, out_block);
      }
    }
  }

  void linears(const LinearInput& input, std::span<const LinearPart> parts) override {
    if (cpu::PackedLinear::can_share(parts)) {
      for (const LinearPart& part : parts) check_part(input, part);
      packed_.linears(input, parts);
    } else {
      Backend::linears(input, parts);
    }
  }

  bool needs_up(const Weight& gate, const Weight& up) const override {
    const LinearPart parts[] = {{&gate, {}, {}, {}}, {&up, {}, {}, {}}};
    return !cpu::PackedLinear::can_share(parts) || gate.packing != up.packing;
  }

  void gated_linear(const LinearInput& input, const LinearPart& gate,
                    const LinearPart& up) override {
    check_part(input, gate);
    check_weight(input, *up.weight);
    if (!needs_up(*gate.weight, *up.weight)) {
      packed_.gated_linear(input, gate, up);
    } else if (gate.out.type == DType::bf16 && bf16_.can_multiply(input.x.type, *gate.weight) &&
               bf16_.can_multiply(input.x.type, *up.weight)) {
      bf16_.gated_linear(multiplied(input), gate, up);
    } else {
      Backend::gated_linear(input, gate, up);
    }
  }

  bool needs_gated(const Weight& gate, const Weight& up, const Weight& down) const override {
    return needs_up(gate, up) || !cpu::PackedLinear::can_feed_forward(gate, up, down);
  }

  void feed_forward(const LinearInput& input, const LinearPart& gate, const LinearPart& up,
                    const LinearPart& down) override {
    if (needs_gated(*gate.weight, *up.weight, *down.weight)) {
      Backend::feed_forward(input, gate, up, down);
    } else {
      check_weight(input, *gate.weight);
      check_weight(input, *up.weight);
      const Tensor& out = down.sum.data ? down.sum : down.out;
      QWENVL_CHECK(gate.weight->n_out == up.weight->n_out &&
                       down.weight->n_in == gate.weight->n_out && out.rows() == input.x.rows() &&
                       out.row_width() == down.weight->n_out,
                   "feed-forward step of {} and {} columns, then [{}, {}] → {}", gate.weight->n_out,
                   up.weight->n_out, down.weight->n_out, down.weight->n_in, out.shape.str());
      packed_.feed_forward(input, gate, up, down);
    }
  }

  void add(Tensor x, Tensor y) override {
    for_rows(x.rows(), [&](std::int64_t t, int) {
      rows(x.type).add(row_of(x, t), row_of(y, t), x.row_width());
    });
  }

  void rms_norm(Tensor x, std::span<const float> weight, float eps, Tensor out) override {
    for_rows(x.rows(), [&](std::int64_t t, int) {
      rows(x.type).rms_norm(row_of(x, t), weight.data(), eps, x.row_width(), row_of(out, t));
    });
  }

  void rope(Tensor x, int n_heads, Tensor cos, Tensor sin, RopeRounding rounding) override {
    const std::int64_t half = x.row_width() / n_heads / 2;
    for_rows(x.rows(), [&](std::int64_t t, int) {
      rows(x.type).rope(row_of(x, t), n_heads, half, cos.row<float>(t), sin.row<float>(t),
                        rounding);
    });
  }

  void store_kv(Tensor k, Tensor v, const KvView& kv, int layer) override {
    attention_.store_kv(k, v, kv, layer);
  }

  void attention_cached(Tensor q, int n_heads, const KvView& kv, int layer, float scale,
                        Tensor out) override {
    attention_.cached(q, n_heads, kv, layer, scale, out);
  }

  void attention_spans(Tensor q, Tensor k, Tensor v, int n_heads,
                       std::span<const AttentionSpan> spans, float scale, Tensor out) override {
    attention_.spans(q, k, v, n_heads, spans, scale, out);
  }

  void silu_mul(Tensor gate, Tensor up) override {
    for_rows(gate.rows(), [&](std::int64_t t, int) {
      rows(gate.type).silu_mul(row_of(gate, t), row_of(up, t), gate.row_width());
    });
  }

  void gelu(Tensor x) override {
    for_rows(x.rows(),
             [&](std::int64_t t, int) { rows(x.type).gelu(row_of(x, t), x.row_width()); });
  }

  std::int64_t linear_bytes(std::int64_t n_rows, const Weight& w, DType type) const override {
    const std::int64_t n_threads = static_cast<std::int64_t>(scratch_.size());
    constexpr std::int64_t kFloat = sizeof(float);
    if (w.is_packed()) return packed_.scratch_bytes(n_rows, w);
    if (bf16_.can_multiply(type, w)) return bf16_.scratch_bytes(n_rows, w);
    const std::int64_t row = cpu::padded_to_lanes(w.n_in) * kFloat;
    const std::int64_t block = std::max(kWeightBlockBytes, kernels_.tile_weights * row);
    return std::min(n_rows * row, std::max(kRowChunk * row, kRowBlockBytes)) +
           n_threads * (block + kRowChunk * (block / row + 16) * kFloat);
  }

  std::int64_t feed_forward_bytes(std::int64_t n_rows, const Weight& gate, const Weight& down,
                                  DType type) const override {
    return packed_.feed_forward_bytes(n_rows, gate, down, type);
  }

  std::int64_t attention_bytes(std::int64_t n_rows, std::int64_t width, int n_heads,
                               DType type) const override {
    return attention_.scratch_bytes(n_rows, width, n_heads, type);
  }

  void forget_scratch() override {
    scratch_ = std::vector<Scratch>(scratch_.size());
    activations_ = cpu::FloatBuffer();
    packed_.forget_scratch();
    bf16_.forget_scratch();
    attention_.forget_scratch();
  }

  void parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& fn) override {
    pool_.parallel_for(n, [&](std::int64_t i, int) { fn(i); });
  }

 private:
  // What one thread needs besides its inputs; grows to the largest use and stays.
  struct Scratch {
    cpu::FloatBuffer a, weights, products;
  };

  static void check_product(const Tensor& x, const Weight& w, const Tensor& out) {
    QWENVL_CHECK(x.row_width() == w.n_in && out.row_width() == w.n_out && out.rows() == x.rows(),
                 "linear {} · [{}, {}]ᵀ → {}", x.shape.str(), w.n_out, w.n_in, out.shape.str());
  }
  static void check_weight(const LinearInput& input, const Weight& w) {
    QWENVL_CHECK(input.x.row_width() == w.n_in &&
                     (input.norm.empty() || static_cast<std::int64_t>(input.norm.size()) == w.n_in),
                 "linear {}, norm of {}, · [{}, {}]ᵀ", input.x.shape.str(), input.norm.size(),
                 w.n_out, w.n_in);
  }
  static void check_part(const LinearInput& input, const LinearPart& part) {
    check_weight(input, *part.weight);
    check_product(input.x, *part.weight, part.sum.data ? part.sum : part.out);
  }

  const RowKernels& rows(DType type) const {
    return type == DType::bf16 ? kernels_.bf16 : kernels_.f32;
  }

  void for_rows(std::int64_t n, const std::function<void(std::int64_t, int)>& body) {
    const std::int64_t n_tasks = (n + kRowsPerTask - 1) / kRowsPerTask;
    pool_.parallel_for(n_tasks, [&](std::int64_t task, int thread) {
      const std::int64_t end = std::min(n, (task + 1) * kRowsPerTask);
      for (std::int64_t t = task * kRowsPerTask; t < end; ++t) body(t, thread);
    });
  }

  // x as float32 rows padded with zeros to a multiple of kLanes.   [n, padded]
  const float* widened(const Tensor& x, std::int64_t padded) {
    float* a = activations_.floats(x.rows() * padded);
    const std::int64_t width = x.row_width();
    for_rows(x.rows(), [&](std::int64_t t, int) {
      rows(x.type).widen(row_of(x, t), width, a + t * padded);
      std::fill(a + t * padded + width, a + (t + 1) * padded, 0.0f);
    });
    return a;
  }

  // products + bias → out, columns [first, first + n).
  void store_products(const float* products, std::int64_t stride, std::int64_t n_rows,
                      std::span<const float> bias, std::int64_t first, std::int64_t n,
                      const Tensor& out) {
    const std::int64_t element = static_cast<std::int64_t>(size_of(out.type));
    rows(out.type).store_products(products, stride, n_rows,
                                  bias.empty() ? nullptr : bias.data() + first, n,
                                  row_of(out, 0) + first * element, out.row_stride * element);
  }

  void few_rows(const float* a, std::int64_t padded, std::int64_t n_rows, const Weight& w,
                std::span<const float> bias, DType compute, const Tensor& out) {
    const std::int64_t block = 16 * kernels_.tile_weights;
    pool_.parallel_for((w.n_out + block - 1) / block, [&](std::int64_t task, int thread) {
      const std::int64_t first = task * block, n = std::min(block, w.n_out - first);
      float* products = scratch_[thread].products.floats(n_rows * block);
      kernels_.gemv(a, padded, n_rows, w.row(first), w.format, compute == DType::bf16, n, w.n_in,
                    products, block);
      store_products(products, block, n_rows, bias, first, n, out);
    });
  }

  void many_rows(const float* a, std::int64_t padded, std::int64_t n_rows, const Weight& w,
                 std::span<const float> bias, DType compute, const Tensor& out) {
    const std::int64_t tile = kernels_.tile_weights;
    const std::int64_t block = std::max(tile, kWeightBlockBytes / (padded * 4) / tile * tile);
    pool_.parallel_for((w.n_out + block - 1) / block, [&](std::int64_t task, int thread) {
      const std::int64_t first = task * block, n = std::min(block, w.n_out - first);
      float* weights = scratch_[thread].weights.floats(block * padded);
      for (std::int64_t i = 0; i < n; ++i) {
        kernels_.unpack(w.row(first + i), w.format, compute == DType::bf16, w.n_in,
                        weights + i * padded);
      }
      float* products = scratch_[thread].products.floats(kRowChunk * block);
      for (std::int64_t t = 0; t < n_rows; t += kRowChunk) {
        const std::int64_t m = std::min(kRowChunk, n_rows - t);
        kernels_.gemm(a + t * padded, padded, m, weights, padded, n, padded, products, block);
        store_products(products, block, m, bias, first, n, out.slice_rows(t, m));
      }
    });
  }

  const KernelTable& kernels_;
  ThreadPool pool_;
  std::vector<Scratch> scratch_;  // one per thread
  cpu::FloatBuffer activations_;
  cpu::PackedLinear packed_;
  cpu::Bf16Products bf16_;
  cpu::ThreadedAttention attention_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(int n_threads, const cpu::KernelTable& kernels) {
  const int every_core = std::min(available_cores(), ThreadPool::kMaxThreads);
  return std::make_unique<CpuBackend>(n_threads > 0 ? n_threads : every_core, kernels);
}

std::unique_ptr<Backend> make_cpu_backend(int n_threads) {
  return make_cpu_backend(n_threads, cpu::best_kernels());
}

}  // namespace qwenvl
