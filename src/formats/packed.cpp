// Packs rows into panels, with scales searched for the least error, and reads them back.
// Before: engine/quantize.cpp reads rows of a checkpoint.   After: backend/cpu multiplies panels.
#include "formats/packed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/check.h"
#include "core/numbers.h"

namespace qwenvl {
namespace {

constexpr int kGroups = static_cast<int>(kBlock / kSubGroup);  // of a block
constexpr int kLeastCode = -8, kMostCode = 7;
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

// ---- int8 --------------------------------------------------------------------------------------

double pack_int8(const float* rows, std::int64_t n_rows, std::int64_t n_in,
                 std::span<const float> importance, std::byte* panel) {
  double error = 0;
  const std::int64_t padded = padded_to_blocks(n_in);
  for (std::int64_t r = 0; r < kPanelRows; ++r) {
    const float* row = rows + r * n_in;
    float largest = 0;
    for (std::int64_t i = 0; r < n_rows && i < n_in; ++i) {
      largest = std::max(largest, std::fabs(row[i]));
    }
    const float scale = largest / 127.0f;
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    std::memcpy(panel + 4 * r, &scale, 4);
    for (std::int64_t i = 0; i < padded; ++i) {
      int code = 0;
      if (r < n_rows && i < n_in) {
        code = std::clamp(static_cast<int>(std::lrint(row[i] * inverse)), -127, 127);
        const double miss = double{row[i]} - double{scale} * code;
        error +=
            miss * miss * (importance.empty() ? 1.0f : importance[static_cast<std::size_t>(i)]);
      }
      *int8_place(panel, r, i) = static_cast<std::byte>(code + 128);
    }
  }
  return error;
}

// ---- int4 --------------------------------------------------------------------------------------

// Up to 32 numbers with one sub-scale and how much each matters.
struct Group {
  std::array<float, kSubGroup> w{}, weight{};
};

int code_for(float w, float inverse) {
  // Adding and subtracting 1.5 · 2^23 rounds to the nearest integer; clamped first.
  const float x = std::clamp(w * inverse, float{kLeastCode}, float{kMostCode});
  return static_cast<int>((x + 12582912.0f) - 12582912.0f);
}

float error_with(const Group& group, float scale) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  float error = 0;
  for (std::size_t i = 0; i < group.w.size(); ++i) {
    const float x = std::clamp(group.w[i] * inverse, float{kLeastCode}, float{kMostCode});
    const float miss = group.w[i] - scale * ((x + 12582912.0f) - 12582912.0f);
    error += miss * miss * group.weight[i];
  }
  return error;
}

// The best scale of either sign: codes reach one further down than up, so the sign decides which
// side of the numbers may be larger.
float best_scale(const Group& group) {
  float lowest = 0, highest = 0;
  for (const float w : group.w) lowest = std::min(lowest, w), highest = std::max(highest, w);
  const float largest = std::max(-lowest, highest);
  if (largest == 0) return 0;
  float best = 0, least = std::numeric_limits<float>::infinity();
  for (const float sign : {1.0f, -1.0f}) {
    for (const float reach : {6.4f, 6.8f, 7.2f, 7.6f, 8.0f, 8.5f, 9.1f}) {
      const float scale = sign * largest / reach, error = error_with(group, scale);
      if (error < least) least = error, best = scale;
    }
  }
  return best;
}

struct BlockScales {
  float scale = 0;  // a float16 number
  std::array<int, kGroups> sub{};
  float error = std::numeric_limits<float>::infinity();
};

// Sub-scales for a given scale: the nearest to what each group wants, or its neighbours.
BlockScales with_scale(const std::array<Group, kGroups>& groups,
                       const std::array<float, kGroups>& wanted, float scale) {
  BlockScales found{rounded_to<fp16>(scale), {}, 0};
  for (int g = 0; g < kGroups; ++g) {
    const int nearest =
        found.scale != 0
            ? static_cast<int>(std::lrint(std::clamp(wanted[g] / found.scale, -8.0f, 7.0f)))
            : 0;
    float least = std::numeric_limits<float>::infinity();
    for (int sub = std::max(nearest - 1, -8); sub <= std::min(nearest + 1, 7); ++sub) {
      const float error = error_with(groups[g], found.scale * static_cast<float>(sub));
      if (error < least) least = error, found.sub[g] = sub;
    }
    found.error += least;
  }
  return found;
}

BlockScales best_scales(const std::array<Group, kGroups>& groups) {
  std::array<float, kGroups> wanted{};
  float largest = 0;
  for (int g = 0; g < kGroups; ++g) {
    wanted[g] = best_scale(groups[g]);
    largest = std::max(largest, std::fabs(wanted[g]));
  }
  BlockScales best = with_scale(groups, wanted, 0);
  if (largest == 0) return best;
  for (const float reach : {5.0f, 6.0f, 6.5f, 7.0f, 7.5f, 8.0f}) {
    for (const float sign : {1.0f, -1.0f}) {
      const BlockScales found = with_scale(groups, wanted, sign * largest / reach);
      if (found.error < best.error) best = found;
    }
  }
  return best;
}

double pack_int4_row(const float* row, std::int64_t n_in, std::span<const float> importance,
                     std::int64_t r, std::byte* panel) {
  double error = 0;
  for (std::int64_t begin = 0; begin < n_in; begin += kBlock) {
    std::byte* block = panel + begin / kBlock * kInt4Block;
    std::array<Group, kGroups> groups;
    for (std::int64_t i = 0; i < std::min(kBlock, n_in - begin); ++i) {
      const std::size_t from = static_cast<std::size_t>(begin + i);
      Group& group = groups[static_cast<std::size_t>(i / kSubGroup)];
      group.w[static_cast<std::size_t>(i % kSubGroup)] = row[from];
      group.weight[static_cast<std::size_t>(i % kSubGroup)] =
          importance.empty() ? 1.0f : importance[from];
    }
    const BlockScales scales = best_scales(groups);
    error += scales.error;
    const fp16 stored = to_fp16(scales.scale);
    std::memcpy(block + 2 * r, &stored, 2);
    for (int g = 0; g < kGroups; ++g) {
      put_half(block[sub_place(r, g)], g % 2 == 1, scales.sub[g]);
      const float scale = scales.scale * static_cast<float>(scales.sub[g]);
      const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
      for (std::int64_t i = 0; i < kSubGroup; ++i) {
        const std::int64_t at = g * kSubGroup + i;
        const int code = code_for(groups[g].w[static_cast<std::size_t>(i)], inverse);
        put_half(block[int4_place(r, at)], is_high(at), code + 8);
      }
    }
  }
  return error;
}

double pack_int4(const float* rows, std::int64_t n_rows, std::int64_t n_in,
                 std::span<const float> importance, std::byte* panel) {
  // Scales and subs of zero; codes of 8, which stand for 0.
  for (std::int64_t begin = 0; begin < n_in; begin += kBlock) {
    std::byte* block = panel + begin / kBlock * kInt4Block;
    std::memset(block, 0, kInt4Header);
    std::memset(block + kInt4Header, 0x88, kInt4Block - kInt4Header);
  }
  double error = 0;
  for (std::int64_t r = 0; r < n_rows; ++r) {
    error += pack_int4_row(rows + r * n_in, n_in, importance, r, panel);
  }
  return error;
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

double pack_panel(Packing packing, const float* rows, std::int64_t n_rows, std::int64_t n_in,
                  std::span<const float> importance, std::byte* panel) {
  QWENVL_CHECK(packing != Packing::none && n_rows >= 1 && n_rows <= kPanelRows, "{} rows as {}",
               n_rows, name_of(packing));
  return packing == Packing::int4 ? pack_int4(rows, n_rows, n_in, importance, panel)
                                  : pack_int8(rows, n_rows, n_in, importance, panel);
}

void unpack_row(const Weight& w, std::int64_t row, float* out) {
  const std::byte* panel =
      static_cast<const std::byte*>(w.data) + row / kPanelRows * panel_bytes(w.packing, w.n_in);
  const std::int64_t r = row % kPanelRows;
  if (w.packing != Packing::int4) {
    float scale;
    std::memcpy(&scale, panel + 4 * r, 4);
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
