// The probe's loops for x86-64 with tile products (AMX).
// Each call configures the tiles of its thread and releases them: a thread keeps none between
// calls.
#if defined(__x86_64__)

#include <immintrin.h>

#include "backend/cpu/probe/probe_table.h"
#include "backend/cpu/target.h"

QWENVL_TARGET_BEGIN("amx-tile,amx-int8,amx-bf16")
namespace qwenvl::cpu {
namespace {

// What ldtilecfg reads: palette 1 has eight tiles of at most 16 rows of 64 bytes.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Static: g++ 12 believes that the instruction reads eight bytes, and would not write the others of
// a local one.
constinit const TileShapes kTileShapes;

constexpr int kProducts = 4;  // of one iteration: tiles 0 … 3 are the sums, as in a 32 x 32 block

void begin_tiles() {
  _tile_loadconfig(&kTileShapes);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}

void int8_peak(std::int64_t n) noexcept {
  begin_tiles();
  for (; n > 0; --n) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
}

void bf16_peak(std::int64_t n) noexcept {
  begin_tiles();
  for (; n > 0; --n) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}

}  // namespace

// [16, 64] · [64, 16] of int8, [16, 32] · [32, 16] of bf16.
constinit const PeakLoop kAmxInt8{"AMX int8", kProducts * 16 * 64 * 16 * 2, &int8_peak};
constinit const PeakLoop kAmxBf16{"AMX bf16", kProducts * 16 * 32 * 16 * 2, &bf16_peak};
}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
