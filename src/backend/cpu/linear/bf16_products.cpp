// Panels of 32 rows of W are laid out by the thread that multiplies with them, several at a time
// when there are many rows of x to go over them. What comes next, rows of W and the places of
// results, is fetched from memory meanwhile.
#include "backend/cpu/linear/bf16_products.h"

#include <algorithm>

#include "formats/packed.h"

namespace qwenvl::cpu {
namespace {

constexpr std::int64_t kPanelBytes = 320 << 10;  // of panels laid out at a time, of both weights
constexpr std::int64_t kMostPanels = 8;
constexpr std::int64_t kRowsPerTask = 32;  // of rows that are copied

const std::byte* row_of(const Tensor& x, std::int64_t i) {
  return static_cast<const std::byte*>(x.data) + i * x.row_stride * 2;
}

std::int64_t bytes_of(const Tensor& x, std::int64_t n) {
  return n * static_cast<std::int64_t>(size_of(x.type));
}

std::byte* place_of(const Tensor& out, std::int64_t row, std::int64_t column) {
  return static_cast<std::byte*>(out.data) + bytes_of(out, row * out.row_stride + column);
}

std::int64_t padded_to_pairs(std::int64_t n_in) { return (n_in + 31) / 32 * 32; }

const bf16* weights_of(const Weight& w, std::int64_t row) {
  return reinterpret_cast<const bf16*>(w.row(row));
}

// Rows of W, as far as there are any, into the second-level cache.
void fetch_rows(const Weight& w, std::int64_t begin, std::int64_t end) {
  if (begin >= w.n_out) return;
  const bf16* from = weights_of(w, begin);
  const std::int64_t n = (std::min(end, w.n_out) - begin) * w.n_in;
  for (std::int64_t i = 0; i < n; i += 32) __builtin_prefetch(from + i, 0, 2);
}

void fetch_places(const Tensor& out, std::int64_t first_row, std::int64_t n_rows,
                  std::int64_t first, std::int64_t n) {
  for (std::int64_t t = first_row; t < first_row + n_rows; ++t) {
    const std::byte* row = place_of(out, t, first);
    for (std::int64_t i = 0; i < bytes_of(out, n); i += 64) __builtin_prefetch(row + i, 1, 2);
  }
}

}  // namespace

Bf16Products::Bf16Products(const KernelTable& kernels, ThreadPool& pool)
    : kernels_(kernels), pool_(pool), scratch_(static_cast<std::size_t>(pool.n_threads())) {}

bool Bf16Products::can_multiply(DType type, const Weight& w) const {
  return kernels_.bf16_linear && type == DType::bf16 && !w.is_packed() && w.format == DType::bf16;
}

// As they are, where nothing must be put behind or below them.
Bf16Products::Rows Bf16Products::rows_of(const Tensor& x) {
  const std::int64_t m = x.rows(), n_in = x.row_width(), k = padded_to_pairs(n_in);
  if (n_in == k && x.row_stride == k && m % 16 == 0) {
    return {static_cast<const bf16*>(x.data), m, k};
  }
  bf16* a = reinterpret_cast<bf16*>(activations_.floats((m + 31) / 32 * 32 * k / 2));
  pool_.parallel_for((m + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task, int) {
    const std::int64_t end = std::min(m, (task + 1) * kRowsPerTask);
    for (std::int64_t t = task * kRowsPerTask; t < end; ++t) {
      std::copy_n(reinterpret_cast<const bf16*>(row_of(x, t)), n_in, a + t * k);
      std::fill(a + t * k + n_in, a + (t + 1) * k, bf16{});
    }
  });
  return {a, m, k};
}

// Weights that are read once are multiplied as they lie.
bool Bf16Products::takes_few(const Rows& x) const {
  return kernels_.bf16_linear->multiply_few && x.m <= Bf16Linear::kFewRows;
}

std::int64_t Bf16Products::panels_at_once(const Rows& x) const {
  if (x.m <= kernels_.bf16_linear->rows_at_once) return 1;
  return std::clamp<std::int64_t>(kPanelBytes / (x.k * kPanelRows * 2), 1, kMostPanels);
}

// store(products of the first of the weights, those of the second rows_at_once rows behind, stride,
// first row, rows, first column, columns) for all of x times the same columns of all the weights.
template <class Store>
void Bf16Products::for_panels(const Rows& x, std::span<const Weight* const> weights,
                              const Tensor& out, const Store& store) {
  const std::int64_t n_weights = static_cast<std::int64_t>(weights.size()),
                     n_out = weights[0]->n_out, n_in = weights[0]->n_in,
                     rows_at_once = kernels_.bf16_linear->rows_at_once;
  const std::int64_t width = std::max<std::int64_t>(1, panels_at_once(x) / n_weights) * kPanelRows;
  pool_.parallel_for((n_out + width - 1) / width, [&](std::int64_t task, int thread) {
    Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
    const std::int64_t first = task * width, n = std::min(width, n_out - first);
    if (takes_few(x)) {
      float* few = scratch.products.floats(n_weights * rows_at_once * width);
      for (std::int64_t j = 0; j < n_weights; ++j) {
        kernels_.bf16_linear->multiply_few(x.a, x.m, x.k, weights_of(*weights[j], first), n_in, n,
                                           few + j * rows_at_once * width, width);
      }
      store(few, width, 0, x.m, first, n);
      return;
    }
    bf16* panels = reinterpret_cast<bf16*>(scratch.weights.floats(n_weights * width * x.k / 2));
    float* products = scratch.products.floats(n_weights * rows_at_once * width);
    for (std::int64_t j = 0; j < n_weights; ++j) {
      for (std::int64_t i = 0; i < n; i += kPanelRows) {
        kernels_.bf16_linear->lay_out(weights_of(*weights[j], first + i), n_in, n - i, n_in,
                                      panels + (j * width + i) * x.k);
      }
    }
    for (std::int64_t t = 0; t < x.m; t += rows_at_once) {
      const std::int64_t n_rows = std::min(rows_at_once, x.m - t);
      fetch_places(out, t, n_rows, first, n);
      for (std::int64_t j = 0; j < n_weights; ++j) {
        for (std::int64_t i = 0; i < n; i += kPanelRows) {
          // A part of the panel that follows for each of the blocks of rows.
          const std::int64_t next = first + width + i;
          fetch_rows(*weights[j], next + kPanelRows * t / x.m,
                     next + kPanelRows * (t + n_rows) / x.m);
          kernels_.bf16_linear->multiply(x.a + t * x.k, n_rows, x.k, panels + (j * width + i) * x.k,
                                         products + j * rows_at_once * width + i, width);
        }
      }
      store(products, width, t, n_rows, first, n);
    }
  });
}

void Bf16Products::linear(const Tensor& x, const LinearPart& part) {
  const Weight* weights[] = {part.weight};
  const float* bias = part.bias.empty() ? nullptr : part.bias.data();
  const Tensor& out = part.out;
  const RowKernels& rows = out.type == DType::bf16 ? kernels_.bf16 : kernels_.f32;
  for_panels(rows_of(x), weights, out,
             [&](const float* products, std::int64_t stride, std::int64_t t, std::int64_t n_rows,
                 std::int64_t first, std::int64_t n) {
               rows.store_products(products, stride, n_rows, bias ? bias + first : bias, n,
                                   place_of(out, t, first), bytes_of(out, out.row_stride));
             });
}

void Bf16Products::gated_linear(const Tensor& x, const LinearPart& gate, const LinearPart& up) {
  const Weight* weights[] = {gate.weight, up.weight};
  const float* gate_bias = gate.bias.empty() ? nullptr : gate.bias.data();
  const float* up_bias = up.bias.empty() ? nullptr : up.bias.data();
  const Tensor& out = gate.out;
  const std::int64_t rows_at_once = kernels_.bf16_linear->rows_at_once;
  for_panels(rows_of(x), weights, out,
             [&](const float* products, std::int64_t stride, std::int64_t t, std::int64_t n_rows,
                 std::int64_t first, std::int64_t n) {
               for (std::int64_t i = 0; i < n; i += kPanelRows) {
                 const std::int64_t column = first + i;
                 kernels_.bf16.store_gated(products + i, products + rows_at_once * stride + i,
                                           stride, n_rows, gate_bias ? gate_bias + column : nullptr,
                                           up_bias ? up_bias + column : nullptr,
                                           std::min(kPanelRows, n - i), place_of(out, t, column),
                                           bytes_of(out, out.row_stride));
               }
             });
}

void Bf16Products::forget_scratch() {
  scratch_ = std::vector<Scratch>(scratch_.size());
  activations_ = {};
}

std::int64_t Bf16Products::scratch_bytes(std::int64_t n_rows, const Weight& w) const {
  const std::int64_t k = padded_to_pairs(w.n_in), panel = kPanelRows * k * 2;
  const std::int64_t products = 2 * kernels_.bf16_linear->rows_at_once * kMostPanels * kPanelRows *
                                static_cast<std::int64_t>(sizeof(float));
  return (n_rows + 31) * k * 2 + pool_.n_threads() * (std::max(2 * panel, kPanelBytes) + products);
}

}  // namespace qwenvl::cpu
