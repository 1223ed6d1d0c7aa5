// CRC-32 as zlib computes it, by which golden files name pixels and lists.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace qwenvl::testing {

inline std::uint32_t crc32(std::span<const std::byte> bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> out{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
      out[i] = crc;
    }
    return out;
  }();
  std::uint32_t crc = 0xffffffff;
  for (const std::byte b : bytes)
    crc = crc >> 8 ^ table[(crc ^ static_cast<std::uint32_t>(b)) & 0xff];
  return ~crc;
}

}  // namespace qwenvl::testing
