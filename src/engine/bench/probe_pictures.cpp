// Pictures for benchmarks and comparisons.
// Before: bench_stages.cpp, compare_models.cpp.   After: the engine reads them like any file.
// bench/peers/pictures.py makes the same pixels.
#include "engine/bench/probe_pictures.h"

#include <algorithm>

namespace qwenvl {
namespace {

// 0 … 63, without any pattern an eye or a codec could find.
std::uint32_t noise(std::uint32_t x, std::uint32_t y, std::uint32_t channel, std::uint32_t seed) {
  std::uint32_t h = x * 0x9E3779B1u ^ y * 0x85EBCA77u ^ (channel + 3 * seed) * 0xC2B2AE3Du;
  h ^= h >> 15;
  h *= 0x2C1B3C6Du;
  h ^= h >> 12;
  h *= 0x297A2D39u;
  return h >> 26;
}

// 0 … 191: left to right, top to bottom, and along the diagonal.
std::uint32_t gradient(std::uint32_t x, std::uint32_t y, std::uint32_t channel, std::uint32_t w,
                       std::uint32_t h) {
  if (channel == 0) return 191 * x / std::max(w - 1, 1u);
  if (channel == 1) return 191 * y / std::max(h - 1, 1u);
  return 191 * (x + y) / std::max(w + h - 2, 1u);
}

}  // namespace

Picture synthetic_picture(int width, int height, std::uint32_t seed) {
  const std::uint32_t w = static_cast<std::uint32_t>(width), h = static_cast<std::uint32_t>(height);
  const std::uint32_t row_bytes = (w * 3 + 3) / 4 * 4, header_bytes = 54;
  Picture picture;
  picture.source = "synthetic";
  picture.bytes.resize(std::size_t{header_bytes} + std::size_t{row_bytes} * h);
  const auto put = [&](std::size_t at, std::uint32_t value) {
    for (int i = 0; i < 4; ++i) picture.bytes[at + i] = static_cast<std::byte>(value >> (8 * i));
  };
  put(0, 'B' | 'M' << 8 | static_cast<std::uint32_t>(picture.bytes.size()) << 16);
  put(4, static_cast<std::uint32_t>(picture.bytes.size()) >> 16);
  put(10, header_bytes);
  put(14, 40);  // the rest of the header
  put(18, w);
  put(22, h);
  put(26, 1 | 24 << 16);  // one plane of 24 bits
  for (std::uint32_t y = 0; y < h; ++y) {
    std::byte* row = picture.bytes.data() + header_bytes + std::size_t{row_bytes} * (h - 1 - y);
    for (std::uint32_t x = 0; x < w; ++x) {
      for (std::uint32_t channel = 0; channel < 3; ++channel) {  // stored blue first
        row[3 * x + 2 - channel] =
            static_cast<std::byte>(gradient(x, y, channel, w, h) + noise(x, y, channel, seed));
      }
    }
  }
  return picture;
}

}  // namespace qwenvl
