// Packed products on any machine, straight from the layout's description.
#include <cmath>
#include <cstring>

#include "backend/cpu/packed/packed_kernels.h"

namespace qwenvl::cpu {
namespace {

// The integer sum of one block of 128, or of a whole row of an int8 matrix.
std::int32_t int8_sum(const std::int8_t* a, const std::byte* numbers, std::int64_t row,
                      std::int64_t n) {
  std::int32_t sum = 0;
  for (std::int64_t i = 0; i < n; i += 4) {
    const std::byte* four = numbers + (i / 4 * kPanelRows + row) * 4;
    for (int j = 0; j < 4; ++j) sum += a[i + j] * (static_cast<int>(four[j]) - 128);
  }
  return sum;
}

std::int32_t int4_sum(const std::int8_t* a, const std::byte* block, std::int64_t row) {
  std::int32_t sum = 0;
  for (int g = 0; g < 4; ++g) {
    const int subs = static_cast<int>(block[64 + g / 2 * 32 + row]) >> (g % 2 * 4) & 15;
    std::int32_t group = 0;
    for (int i = g * 32; i < g * 32 + 32; i += 8) {
      const std::byte* four = block + kInt4Header + (i / 8 * kPanelRows + row) * 4;
      for (int j = 0; j < 4; ++j) {
        group += a[i + j] * ((static_cast<int>(four[j]) & 15) - 8);
        group += a[i + 4 + j] * ((static_cast<int>(four[j]) >> 4) - 8);
      }
    }
    sum += group * (subs < 8 ? subs : subs - 16);
  }
  return sum;
}

float product(const PackedProduct& p, const std::byte* panel, std::int64_t t, std::int64_t row) {
  const std::int8_t* a = p.a + t * p.k;
  const float* scales = p.a_scales + t * p.n_scales;
  if (p.packing != Packing::int4) {
    float scale;
    std::memcpy(&scale, panel + 4 * row, 4);
    const std::byte* numbers = panel + kInt8Header;
    if (p.packing == Packing::int8) {
      return static_cast<float>(int8_sum(a, numbers, row, p.k)) * (scale * scales[0]);
    }
    float sum = 0;
    for (std::int64_t b = 0; b < p.k / kBlock; ++b) {
      const std::int32_t block =
          int8_sum(a + b * kBlock, numbers + b * kBlock * kPanelRows, row, kBlock);
      sum = std::fma(static_cast<float>(block), scale * scales[b], sum);
    }
    return sum;
  }
  float sum = 0;
  for (std::int64_t b = 0; b < p.k / kBlock; ++b) {
    const std::byte* block = panel + b * kInt4Block;
    fp16 scale;
    std::memcpy(&scale, block + 2 * row, 2);
    sum = std::fma(static_cast<float>(int4_sum(a + b * kBlock, block, row)),
                   to_float(scale) * scales[b], sum);
  }
  return sum;
}

void multiply(const PackedProduct& p) noexcept {
  for (std::int64_t panel = 0; panel < p.n_panels; ++panel) {
    for (std::int64_t t = 0; t < p.m; ++t) {
      for (std::int64_t row = 0; row < kPanelRows; ++row) {
        p.c[panel * p.c_panel + t * kPanelRows + row] =
            product(p, p.panels + panel * p.panel_bytes, t, row);
      }
    }
  }
}

}  // namespace

constinit const PackedKernels packed_portable = {quantise_activations, multiply};

}  // namespace qwenvl::cpu
