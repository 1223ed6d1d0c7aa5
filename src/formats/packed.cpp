// Packs rows into panels, with scales searched for the least error, and reads them back.
// Before: engine/quantize/tensor_packer.cpp reads rows of a checkpoint.   After: backend/cpu
// multiplies panels.
#include "formats/packed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/check.h"
#include "core/numbers.h"
#include "formats/int4_scales.h"

namespace qwenvl {
namespace {

constexpr float kLeastLargest = 1e-36f;  // below, 127 / largest would overflow

// ---- places in a panel -------------------------------------------------------------------------

std::byte* int8_place(std::byte* panel, std::int64_t row, std::int64_t i) {
  return panel + kInt8Header + (i / 4 * kPanelRows + row) * 4 + i % 4;
}

// The byte that holds number i of a block, and whether it is in the high half.
std::int64_t int4_place(std::int64_t row, std::int64_t i) {
  return kInt4Header + (i / 8 * kPanelRows + row) * 4 + i % 4;
}
bool is_high(std::int64_t i) { return i % 8 >= 4; }

std::int64_t sub_place(std::int64_t row, int group) { return 64 + group / 2 * 32 + row; }

void put_half(std::byte& place, bool high, int value) {
  const int half = value & 15;
  place = high ? (place & std::byte{0x0f}) | static_cast<std::byte>(half << 4)
               : (place & std::byte{0xf0}) | static_cast<std::byte>(half);
}
int half_of(std::byte place, bool high) {
  return static_cast<int>(high ? place >> 4 : place & std::byte{15});
}
int signed_half(std::byte place, bool high) {
  const int half = half_of(place, high);
  return half < 8 ? half : half - 16;
}

// ---- rounding a number
// ---------------------------------------------------------------------------

float inverse_of(float scale) { return scale != 0 ? 1.0f / scale : 0.0f; }

int int8_code(float number, float inverse_scale) {
  return std::clamp(static_cast<int>(std::lrint(number * inverse_scale)), -127, 127);
}

float int8_scale(const std::byte* panel, std::int64_t row) {
  float scale;
  std::memcpy(&scale, panel + 4 * row, 4);
  return scale;
}

void put_int8(std::byte* panel, std::int64_t row, std::int64_t i, int code) {
  *int8_place(panel, row, i) = static_cast<std::byte>(code + 128);
}

void put_int4(std::byte* block, std::int64_t row, std::int64_t i, int code) {
  put_half(block[int4_place(row, i)], is_high(i), code + 8);
}

void put_scales(std::byte* block, std::int64_t row, const Int4Scales& scales) {
  const fp16 stored = to_fp16(scales.scale);
  std::memcpy(block + 2 * row, &stored, 2);
  for (std::size_t g = 0; g < kInt4Groups; ++g) {
    put_half(block[sub_place(row, static_cast<int>(g))], g % 2 == 1, scales.sub[g]);
  }
}

// ---- rows at once
// --------------------------------------------------------------------------------

double pack_int8_row(const float* row, std::int64_t n_in, std::span<const float> importance,
                     std::int64_t r, std::byte* panel) {
  const float scale = int8_scale(panel, r), inverse = inverse_of(scale);
  double error = 0;
  for (std::int64_t i = 0; i < n_in; ++i) {
    const int code = int8_code(row[i], inverse);
    const double miss = double{row[i]} - double{scale} * code;
    error += miss * miss * (importance.empty() ? 1.0f : importance[static_cast<std::size_t>(i)]);
    put_int8(panel, r, i, code);
  }
  return error;
}

double pack_int4_row(const float* row, std::int64_t n_in, std::span<const float> importance,
                     std::int64_t r, std::byte* panel) {
  double error = 0;
  for (std::int64_t begin = 0; begin < n_in; begin += kBlock) {
    std::byte* block = panel + begin / kBlock * kInt4Block;
    const std::size_t n = static_cast<std::size_t>(std::min(kBlock, n_in - begin));
    const Int4Scales scales = find_int4_scales(
        std::span(row + begin, n),
        importance.empty() ? importance : importance.subspan(static_cast<std::size_t>(begin), n));
    error += scales.error;
    put_scales(block, r, scales);
    for (std::size_t i = 0; i < n; ++i) {
      const float inverse = inverse_of(scales.of_group(i / kSubGroup));
      put_int4(block, r, static_cast<std::int64_t>(i),
               int4_code(row[begin + static_cast<std::int64_t>(i)], inverse));
    }
  }
  return error;
}

// ---- one column after the other
// ------------------------------------------------------------------

// round(i, target) stores the code of column i and returns the number it stands for. `targets` are
// those of the block's beginning.
template <class Round>
void round_columns(std::span<float> numbers, std::array<float, kBlock>& targets,
                   std::span<const float> factors, Round&& round) {
  const std::size_t n = numbers.size();
  for (std::size_t i = 0; i < n; ++i) {
    numbers[i] -= round(i, targets[i]);
    const float missed = numbers[i];
    for (std::size_t k = i + 1; k < n; ++k) targets[k] += missed * factors[i * n + k];
  }
}

}  // namespace

std::int64_t panel_bytes(Packing packing, std::int64_t n_in) {
  const std::int64_t padded = padded_to_blocks(n_in);
  if (packing == Packing::int4) return padded / kBlock * kInt4Block;
  return kInt8Header + padded * kPanelRows;
}

std::int64_t packed_bytes(Packing packing, std::int64_t n_out, std::int64_t n_in) {
  return n_panels(n_out) * panel_bytes(packing, n_in);
}

const char* name_of(Packing packing) {
  switch (packing) {
    case Packing::none: return "none";
    case Packing::int8: return "int8";
    case Packing::int8_grouped: return "int8_grouped";
    case Packing::int4: return "int4";
  }
  return "none";
}

std::optional<Packing> packing_named(std::string_view name) {
  for (const Packing packing : {Packing::int8, Packing::int8_grouped, Packing::int4}) {
    if (name == name_of(packing)) return packing;
  }
  return std::nullopt;
}

void begin_panel(Packing packing, const float* rows, std::int64_t n_rows, std::int64_t n_in,
                 std::byte* panel) {
  QWENVL_CHECK(packing != Packing::none && n_rows >= 1 && n_rows <= kPanelRows, "{} rows as {}",
               n_rows, name_of(packing));
  if (packing == Packing::int4) {
    // Scales and subs of zero; codes of 8, which stand for 0.
    for (std::int64_t begin = 0; begin < n_in; begin += kBlock) {
      std::byte* block = panel + begin / kBlock * kInt4Block;
      std::memset(block, 0, kInt4Header);
      std::memset(block + kInt4Header, 0x88, kInt4Block - kInt4Header);
    }
    return;
  }
  std::memset(panel, 0, kInt8Header);
  std::memset(panel + kInt8Header, 128,
              static_cast<std::size_t>(padded_to_blocks(n_in) * kPanelRows));
  for (std::int64_t r = 0; r < n_rows; ++r) {
    float largest = 0;
    for (std::int64_t i = 0; i < n_in; ++i) {
      largest = std::max(largest, std::fabs(rows[r * n_in + i]));
    }
    const float scale = largest / 127.0f;
    std::memcpy(panel + 4 * r, &scale, 4);
  }
}

double pack_panel(Packing packing, const float* rows, std::int64_t n_rows, std::int64_t n_in,
                  std::span<const float> importance, std::byte* panel) {
  begin_panel(packing, rows, n_rows, n_in, panel);
  double error = 0;
  for (std::int64_t r = 0; r < n_rows; ++r) {
    error += packing == Packing::int4 ? pack_int4_row(rows + r * n_in, n_in, importance, r, panel)
                                      : pack_int8_row(rows + r * n_in, n_in, importance, r, panel);
  }
  return error;
}

void pack_block(Packing packing, std::int64_t row, std::int64_t first, std::span<float> numbers,
                std::span<const float> shift, const BlockFeedback& feedback, std::byte* panel) {
  QWENVL_CHECK(first % kBlock == 0 && std::ssize(numbers) <= kBlock, "{} numbers at {}",
               numbers.size(), first);
  std::array<float, kBlock> targets;
  for (std::size_t i = 0; i < numbers.size(); ++i) targets[i] = numbers[i] + shift[i];
  if (packing != Packing::int4) {
    const float scale = int8_scale(panel, row), inverse = inverse_of(scale);
    round_columns(numbers, targets, feedback.factors, [&](std::size_t i, float target) {
      const int code = int8_code(target, inverse);
      put_int8(panel, row, first + static_cast<std::int64_t>(i), code);
      return scale * static_cast<float>(code);
    });
    return;
  }
  // The scales are settled before the block's own misses are known.
  const Int4Scales scales =
      find_int4_scales(std::span(targets).first(numbers.size()), feedback.importance);
  std::byte* block = panel + first / kBlock * kInt4Block;
  put_scales(block, row, scales);
  round_columns(numbers, targets, feedback.factors, [&](std::size_t i, float target) {
    const float scale = scales.of_group(i / kSubGroup);
    const int code = int4_code(target, inverse_of(scale));
    put_int4(block, row, static_cast<std::int64_t>(i), code);
    return scale * static_cast<float>(code);
  });
}

void unpack_row(const Weight& w, std::int64_t row, float* out) {
  const std::byte* panel =
      static_cast<const std::byte*>(w.data) + row / kPanelRows * panel_bytes(w.packing, w.n_in);
  const std::int64_t r = row % kPanelRows;
  if (w.packing != Packing::int4) {
    const float scale = int8_scale(panel, r);
    for (std::int64_t i = 0; i < w.n_in; ++i) {
      const std::byte u = panel[kInt8Header + (i / 4 * kPanelRows + r) * 4 + i % 4];
      out[i] = scale * static_cast<float>(static_cast<int>(u) - 128);
    }
    return;
  }
  for (std::int64_t i = 0; i < w.n_in; ++i) {
    const std::byte* block = panel + i / kBlock * kInt4Block;
    const std::int64_t at = i % kBlock;
    const int group = static_cast<int>(at / kSubGroup);
    fp16 scale;
    std::memcpy(&scale, block + 2 * r, 2);
    const int sub = signed_half(block[sub_place(r, group)], group % 2 == 1);
    const int code = half_of(block[int4_place(r, at)], is_high(at)) - 8;
    out[i] = to_float(scale) * static_cast<float>(sub * code);
  }
}

float quantise_group(const float* x, std::int64_t n, std::int8_t* q) noexcept {
  float largest = 0;
  bool is_finite = true;
  for (std::int64_t i = 0; i < n; ++i) {
    largest = std::max(largest, std::fabs(x[i]));
    is_finite = is_finite && std::isfinite(x[i]);
  }
  const float inverse = is_finite && largest > kLeastLargest ? 127.0f / largest : 0.0f;
  for (std::int64_t i = 0; i < n; ++i) {
    q[i] = is_finite ? static_cast<std::int8_t>(std::lrint(x[i] * inverse)) : std::int8_t{0};
  }
  // What is not finite must not vanish: the scale, and so every product, becomes NaN.
  return is_finite ? largest * (1.0f / 127.0f) : std::numeric_limits<float>::quiet_NaN();
}

void quantise_activations(const float* x, std::int64_t n_in, bool is_grouped, std::int8_t* q,
                          float* scales, std::int32_t* sums) noexcept {
  const std::int64_t padded = padded_to_blocks(n_in), group = is_grouped ? kBlock : padded;
  for (std::int64_t begin = 0; begin < padded; begin += group) {
    const std::int64_t n = std::min(group, n_in - begin);
    scales[begin / group] = quantise_group(x + begin, n, q + begin);
    std::fill(q + begin + n, q + begin + group, std::int8_t{0});
  }
  for (std::int64_t i = 0; i < padded; i += kSubGroup) {
    std::int32_t sum = 0;
    for (std::int64_t j = 0; j < kSubGroup; ++j) sum += q[i + j];
    sums[i / kSubGroup] = sum;
  }
}

}  // namespace qwenvl
