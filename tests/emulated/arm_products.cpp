// Runs under an emulator: products with packed weights by the dot products and the matrix products
// of Arm, against the portable ones, bit by bit; and products of bf16, near the true sums and the
// same bits however many rows there are. Prints how many were compared; exit code 1 when one
// differs.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "backend/cpu/kernel_table.h"

namespace {

using namespace qwenvl;
using namespace qwenvl::cpu;

struct Free {
  void operator()(void* p) const { std::free(p); }
};
template <class T>
std::unique_ptr<T, Free> aligned(std::int64_t n) {
  const std::size_t bytes = (static_cast<std::size_t>(n) * sizeof(T) + 127) / 64 * 64;
  return std::unique_ptr<T, Free>(static_cast<T*>(std::aligned_alloc(64, bytes)));
}

constexpr std::int64_t kRows = 9;

// How many of the products with 1 to kRows rows differ.
int count_different(std::mt19937& random, const PackedKernels& kernels, Packing packing,
                    std::int64_t n_in, std::int64_t n_out) {
  std::normal_distribution<float> number(0, 1);
  std::vector<float> w(static_cast<std::size_t>(n_out * n_in)),
      x(static_cast<std::size_t>(kRows * n_in));
  for (float& value : w) value = number(random);
  for (float& value : x) value = number(random);
  const std::int64_t bytes = panel_bytes(packing, n_in), panels = n_panels(n_out);
  const auto packed = aligned<std::byte>(bytes * panels);
  for (std::int64_t p = 0; p < panels; ++p) {
    pack_panel(packing, w.data() + p * kPanelRows * n_in,
               std::min(kPanelRows, n_out - p * kPanelRows), n_in, {}, packed.get() + p * bytes);
  }
  const std::int64_t k = padded_to_blocks(n_in);
  const bool is_grouped = packing != Packing::int8;
  const std::int64_t n_scales = is_grouped ? k / kBlock : 1, width = panels * kPanelRows;
  const auto q = aligned<std::int8_t>(16 * k);
  std::vector<float> scales(static_cast<std::size_t>(kRows * n_scales));
  std::vector<std::int32_t> sums(static_cast<std::size_t>(kRows * k / kSubGroup));
  for (std::int64_t t = 0; t < kRows; ++t) {
    packed_portable.quantise(x.data() + t * n_in, n_in, is_grouped, q.get() + t * k,
                             &scales[static_cast<std::size_t>(t * n_scales)],
                             &sums[static_cast<std::size_t>(t * k / kSubGroup)]);
  }
  std::vector<float> expected(static_cast<std::size_t>(kRows * width)), got = expected;
  PackedProduct p{};
  p.a = q.get();
  p.a_scales = scales.data();
  p.a_sums = sums.data();
  p.m = kRows;
  p.k = k;
  p.n_scales = n_scales;
  p.packing = packing;
  p.panels = packed.get();
  p.panel_bytes = bytes;
  p.n_panels = panels;
  p.c = expected.data();
  p.c_panel = kRows * kPanelRows;
  packed_portable.multiply(p);
  int n_different = 0;
  p.c = got.data();
  for (p.m = 1; p.m <= kRows; ++p.m) {
    std::fill(got.begin(), got.end(), -1.0f);
    kernels.multiply(p);
    bool is_equal = true;
    for (std::int64_t i = 0; i < panels; ++i) {
      is_equal &= std::memcmp(got.data() + i * p.c_panel, expected.data() + i * p.c_panel,
                              static_cast<std::size_t>(p.m * kPanelRows) * 4) == 0;
    }
    n_different += !is_equal;
  }
  return n_different;
}

// The same for products of bf16, with every number of rows of W.
int count_different_bf16(std::mt19937& random, std::int64_t n_in, std::int64_t n_out) {
  std::normal_distribution<float> number(0, 1);
  const std::int64_t k = (n_in + 31) / 32 * 32;
  const auto a = aligned<bf16>(16 * k), panel = aligned<bf16>(kPanelRows * k);
  std::vector<bf16> w(static_cast<std::size_t>(n_out * n_in));
  for (bf16& value : w) value = to_bf16(number(random));
  for (std::int64_t i = 0; i < 16 * k; ++i) {
    a.get()[i] = i % k < n_in ? to_bf16(number(random)) : bf16{};
  }
  bf16_linear_neon.lay_out(w.data(), n_in, n_out, n_in, panel.get());
  std::vector<float> all(16 * kPanelRows), got(16 * kPanelRows);
  bf16_linear_neon.multiply(a.get(), kRows, k, panel.get(), all.data(), kPanelRows);
  int n_different = 0;
  for (std::int64_t m = 1; m <= kRows; ++m) {
    bf16_linear_neon.multiply(a.get(), m, k, panel.get(), got.data(), kPanelRows);
    bool is_equal =
        std::memcmp(got.data(), all.data(), static_cast<std::size_t>(m * kPanelRows) * 4) == 0;
    for (std::int64_t row = 0; row < m * n_out; ++row) {
      const std::int64_t t = row / n_out, n = row % n_out;
      double sum = 0, magnitude = 0;
      for (std::int64_t i = 0; i < n_in; ++i) {
        const double product = double{to_float(a.get()[t * k + i])} *
                               to_float(w[static_cast<std::size_t>(n * n_in + i)]);
        sum += product;
        magnitude += std::abs(product);
      }
      // Every sum of the instruction is within one unit of the true one.
      is_equal &= std::abs(got[static_cast<std::size_t>(t * kPanelRows + n)] - sum) <=
                  magnitude * static_cast<double>(n_in) * 0x1p-23;
    }
    n_different += !is_equal;
  }
  return n_different;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  int n_products = 0, n_different = 0;
  for (const Packing packing : {Packing::int8, Packing::int8_grouped, Packing::int4}) {
    for (const std::int64_t n_in : {1, 64, 100, 128, 300, 1000}) {
      for (const std::int64_t n_out : {1, 32, 70}) {
        n_products += 2 * kRows;
        n_different += count_different(random, packed_neon_dotprod, packing, n_in, n_out);
        n_different += count_different(random, packed_neon_i8mm, packing, n_in, n_out);
      }
    }
  }
  for (const std::int64_t n_in : {1, 3, 32, 300}) {
    for (const std::int64_t n_out : {1, 7, 32}) {
      n_products += kRows;
      n_different += count_different_bf16(random, n_in, n_out);
    }
  }
  std::printf("%d products, %d differ\n", n_products, n_different);
  return n_different == 0 ? 0 : 1;
}
