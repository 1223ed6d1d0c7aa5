// What the kernels with AMX tiles share: included inside the region of a kernel file.

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
// Eight tiles of 16 rows of 64 bytes. In static memory: g++ 12 believes that loading a
// configuration reads eight bytes of it, and would drop what a function stores into the others.
constinit const TileConfig kTileConfig;

inline void configure_tiles() { _tile_loadconfig(&kTileConfig); }
