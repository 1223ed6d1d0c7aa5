// Quantised matrices: what they mean and how they lie in memory. One layout serves all instruction
// sets and is used where the file is mapped.
// Before: engine/quantize/tensor_packer.cpp packs them into a file.   After: backend/ multiplies
// with them.
//
// Rows are taken in panels of 32, numbers of a row in blocks of 128; what is missing is filled with
// zeros. In a panel the same four numbers of all 32 rows lie side by side, as the integer dot
// products of x86, AMX and Arm take them.
//
//   int8   w = scale[row] · (u − 128), u unsigned.
//          panel: 32 float32 scales; then for each 4 numbers [32 rows][4] bytes.
//   int4   w = scale[row, block] · sub[row, group of 32] · (u − 8), u of 4 bits, sub in [-8, 7].
//          panel: for each block of 128: 32 float16 scales; 64 bytes of subs; then for each 8
//          numbers [32 rows][4] bytes, whose low halves are the first four and high halves the last
//          four. Subs: byte [32 rows] of groups 0 (low half) and 1 (high half), then of groups 2
//          and 3.
//
// Activations are quantised when a product is computed: x ≈ scale · q, q in [-127, 127], one scale
// for a row or for each block of 128 of it. sub · (u − 8) fits into 8 bits, so that every back end
// forms the same integer sums, block by block, and then adds in float32
//   y = Σ_blocks fma(sum of the block, weight scale · activation scale, y)
// in this order: all instruction sets and batch sizes give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "formats/weight.h"

namespace qwenvl {

inline constexpr std::int64_t kPanelRows = 32;
inline constexpr std::int64_t kBlock = 128;       // numbers with one activation scale
inline constexpr std::int64_t kSubGroup = 32;     // numbers with one sub-scale (int4)
inline constexpr std::int64_t kInt8Header = 128;  // bytes before an int8 panel's numbers
inline constexpr std::int64_t kInt4Header = 128;  // bytes before an int4 block's numbers
inline constexpr std::int64_t kInt4Block = kInt4Header + kPanelRows * kBlock / 2;

constexpr std::int64_t n_panels(std::int64_t n_out) {
  return (n_out + kPanelRows - 1) / kPanelRows;
}
constexpr std::int64_t padded_to_blocks(std::int64_t n_in) {
  return (n_in + kBlock - 1) / kBlock * kBlock;
}

// Bytes of one panel, and of the whole matrix.
std::int64_t panel_bytes(Packing packing, std::int64_t n_in);
std::int64_t packed_bytes(Packing packing, std::int64_t n_out, std::int64_t n_in);

// "int8", "int8_grouped", "int4"; "none" for plain matrices.
const char* name_of(Packing packing);
std::optional<Packing> packing_named(std::string_view name);

// Rounds up to 32 rows [n_rows, n_in] and writes one panel. importance [n_in] weighs the squared
// errors that the scales are searched for; empty: all alike. Returns the sum of the weighted
// squared errors.
double pack_panel(Packing packing, const float* rows, std::int64_t n_rows, std::int64_t n_in,
                  std::span<const float> importance, std::byte* panel);

// The same with error feedback, in two steps: the panel without any numbers but with all that
// belongs to whole rows (the scales of int8) …
void begin_panel(Packing packing, const float* rows, std::int64_t n_rows, std::int64_t n_in,
                 std::byte* panel);

// … then block after block of each row. What rounding a column misses raises the targets of the
// columns behind it, so that outputs change as little as the inputs' correlations allow
// (docs/quantisation.md).
struct BlockFeedback {
  std::span<const float> importance;  // [n]: of the squared distance of each column to its target
  std::span<const float> factors;  // [n, n]: column k takes factors[i · n + k] of i's miss, i < k
};
// Columns [first, first + n) of a row; n is kBlock but for a row's end. numbers: what the row
// holds; what is missed (number − rounded) afterwards. shift [n]: what earlier blocks ask for.
void pack_block(Packing packing, std::int64_t row, std::int64_t first, std::span<float> numbers,
                std::span<const float> shift, const BlockFeedback& feedback, std::byte* panel);

// One row of a packed matrix → n_in float32.
void unpack_row(const Weight& w, std::int64_t row, float* out);

// n numbers → q and the scale of x ≈ scale · q, q in [-127, 127].
float quantise_group(const float* x, std::int64_t n, std::int8_t* q) noexcept;

// Numbers of one row of activations → q, padded with zeros to whole blocks, its scales (1, or one
// per block) and the sums of each 32 of q. Exactly what every back end does.
void quantise_activations(const float* x, std::int64_t n_in, bool is_grouped, std::int8_t* q,
                          float* scales, std::int32_t* sums) noexcept;

}  // namespace qwenvl
