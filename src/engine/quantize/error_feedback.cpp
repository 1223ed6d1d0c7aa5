// Factors the moments of inputs and rounds columns in their order.
#include "engine/quantize/error_feedback.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "formats/packed.h"

namespace qwenvl {
namespace {

// Of the mean of H's diagonal, added to it: what few items say about rare inputs is not to be
// trusted to the letter, and inputs never seen ask for nothing extreme.
constexpr double kDamping = 0.1;

// Columns are factored from the last to the first, which makes a lower Cholesky factor the wanted
// upper one. [n, n], its diagonal raised.
std::vector<float> reversed_and_damped(InputMoment::Chunk& chunk, double damping) {
  const std::int64_t n = chunk.n;
  double mean = 0;
  for (std::int64_t i = 0; i < n; ++i) mean += chunk.products[i * n + i] / static_cast<double>(n);
  const double scale = mean > 0 ? 1 / mean : 1;
  std::vector<float> out(chunk.products.size());
  for (std::int64_t i = 0; i < n * n; ++i) {
    out[i] = static_cast<float>(chunk.products[n * n - 1 - i] * scale);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    out[i * n + i] += static_cast<float>(mean > 0 ? damping : 1);
  }
  return out;
}

// The lower Cholesky factor of a block on the diagonal, in place; false where it has none.
bool factor_diagonal(float* a, std::int64_t stride, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      double sum = a[i * stride + j];
      for (std::int64_t k = 0; k < j; ++k) sum -= double{a[i * stride + k]} * a[j * stride + k];
      if (j < i) {
        a[i * stride + j] = static_cast<float>(sum / a[j * stride + j]);
      } else if (sum > 0 && std::isfinite(sum)) {
        a[i * stride + i] = static_cast<float>(std::sqrt(sum));
      } else {
        return false;
      }
    }
  }
  return true;
}

std::vector<float> transposed(const float* a, std::int64_t stride, std::int64_t n) {
  std::vector<float> out(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) out[j * n + i] = a[i * stride + j];
  }
  return out;
}

// A = L · Lᵀ in place, a block of columns after the other; the part above the diagonal is left.
bool factor_lower(Backend& backend, std::vector<float>& a, std::int64_t n) {
  std::vector<float> done, products;
  for (std::int64_t first = 0; first < n; first += kBlock) {
    const std::int64_t width = std::min(kBlock, n - first), below = n - first;
    float* rows = a.data() + first * n;
    if (first > 0) {
      done.resize(static_cast<std::size_t>(width * first));
      for (std::int64_t i = 0; i < width; ++i) {
        std::copy_n(rows + i * n, first, done.data() + i * first);
      }
      products.resize(static_cast<std::size_t>(below * width));
      Tensor x(rows, DType::f32, {below, first});
      x.row_stride = n;
      backend.linear(x, Weight(Tensor(done.data(), DType::f32, {width, first})), {},
                     Tensor(products.data(), DType::f32, {below, width}));
      backend.parallel_for(below, [&](std::int64_t i) {
        for (std::int64_t j = 0; j < width; ++j) rows[i * n + first + j] -= products[i * width + j];
      });
    }
    if (!factor_diagonal(rows + first, n, width)) return false;
    const std::vector<float> upper = transposed(rows + first, n, width);
    backend.parallel_for(below - width, [&](std::int64_t i) {
      float* row = rows + (width + i) * n + first;
      for (std::int64_t k = 0; k < width; ++k) {
        row[k] /= upper[k * width + k];
        for (std::int64_t j = k + 1; j < width; ++j) row[j] -= row[k] * upper[k * width + j];
      }
    });
  }
  return true;
}

std::vector<float> damped_factor(Backend& backend, InputMoment::Chunk& chunk) {
  // Rounding in float32 may cost a moment of few rows its last digits: then more is added.
  for (double damping = kDamping; damping < 1e6; damping *= 10) {
    std::vector<float> factor = reversed_and_damped(chunk, damping);
    if (factor_lower(backend, factor, chunk.n)) return factor;
  }
  fail(ErrorKind::bad_file,
       "calibration: inputs of a matrix are not finite, expected a model whose activations are");
}

}  // namespace

ColumnFactors factor_columns(Backend& backend, InputMoment::Chunk& chunk) {
  const std::int64_t n = chunk.n;
  const std::vector<float> lower = damped_factor(backend, chunk);
  chunk.products = {};
  // U_jk = R_jk / R_kk with R_jk the factor in the columns' own order.
  const auto r = [&](std::int64_t j, std::int64_t k) {
    return lower[(n - 1 - j) * n + (n - 1 - k)];
  };
  ColumnFactors factors;
  for (std::int64_t first = 0; first < n; first += kBlock) {
    const std::int64_t width = std::min(kBlock, n - first);
    factors.blocks.push_back({first, width, std::vector<float>(static_cast<std::size_t>(width)),
                              std::vector<float>(static_cast<std::size_t>(width * width)),
                              std::vector<float>(static_cast<std::size_t>(width * first))});
  }
  backend.parallel_for(std::ssize(factors.blocks), [&](std::int64_t b) {
    ColumnFactors::Block& block = factors.blocks[static_cast<std::size_t>(b)];
    for (std::int64_t i = 0; i < block.n; ++i) {
      const std::int64_t k = block.first + i;
      const float pivot = r(k, k);
      block.importance[i] = pivot * pivot;
      for (std::int64_t j = 0; j < i; ++j) {
        block.within[j * block.n + i] = r(block.first + j, k) / pivot;
      }
      for (std::int64_t j = 0; j < block.first; ++j) {
        block.before[i * block.first + j] = r(j, k) / pivot;
      }
    }
  });
  return factors;
}

namespace {

// The block's columns of all rows, whose misses in earlier columns are known.
void pack_columns(Backend& backend, Packing packing, const Tensor& rows, std::int64_t chunk_first,
                  ColumnFactors::Block& block, std::span<std::byte> panels) {
  const std::int64_t n_out = rows.rows(), n_in = rows.row_width();
  std::vector<float> shift(static_cast<std::size_t>(n_out * block.n));
  if (block.first > 0) {
    backend.linear(rows.slice_columns(chunk_first, block.first),
                   Weight(Tensor(block.before.data(), DType::f32, {block.n, block.first})), {},
                   Tensor(shift.data(), DType::f32, {n_out, block.n}));
  }
  const std::size_t n = static_cast<std::size_t>(block.n);
  const BlockFeedback feedback{block.importance, block.within};
  const std::int64_t first = chunk_first + block.first, bytes = panel_bytes(packing, n_in);
  backend.parallel_for(n_panels(n_out), [&](std::int64_t panel) {
    const std::int64_t end = std::min(kPanelRows, n_out - panel * kPanelRows);
    for (std::int64_t r = 0; r < end; ++r) {
      const std::int64_t row = panel * kPanelRows + r;
      pack_block(packing, r, first, std::span(rows.row<float>(row) + first, n),
                 std::span(shift).subspan(static_cast<std::size_t>(row) * n, n), feedback,
                 panels.data() + panel * bytes);
    }
  });
}

}  // namespace

void pack_with_feedback(Backend& backend, Packing packing, const Tensor& rows, InputMoment& moment,
                        std::span<std::byte> panels) {
  const std::int64_t n_out = rows.rows(), n_in = rows.row_width();
  QWENVL_CHECK(std::ssize(panels) == packed_bytes(packing, n_out, n_in), "{} bytes for {}",
               panels.size(), rows.shape.str());
  backend.parallel_for(n_panels(n_out), [&](std::int64_t panel) {
    begin_panel(packing, rows.row<float>(panel * kPanelRows),
                std::min(kPanelRows, n_out - panel * kPanelRows), n_in,
                panels.data() + panel * panel_bytes(packing, n_in));
  });
  for (InputMoment::Chunk& chunk : moment.finish(backend)) {
    ColumnFactors factors = factor_columns(backend, chunk);
    for (ColumnFactors::Block& block : factors.blocks) {
      pack_columns(backend, packing, rows, chunk.first, block, panels);
      block = {};
    }
  }
}

}  // namespace qwenvl
