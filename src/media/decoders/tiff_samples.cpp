// Rows of TIFF samples → RGB.
// Before: tiff.cpp has a decompressed row of one plane or all.   After: tiff.cpp has a row of RGB.
// Mirrors the unpackers Pillow picks for each TIFF layout.
#include "media/decoders/tiff_samples.h"

#include <algorithm>
#include <cstring>

#include "media/decoders/decoders.h"

namespace qwenvl {
namespace {

template <class T>
T load(const std::uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// Grey wider than a byte, clipped to 0..255 as the reference does. libtiff gives native byte order.
std::uint8_t clip_wide(const std::uint8_t* sample, const TiffLayout& layout) {
  if (layout.bits == 16) {
    if (layout.number != TiffNumber::signed_integer)
      return clip_gray16(load<std::uint16_t>(sample));
    return static_cast<std::uint8_t>(std::clamp<int>(load<std::int16_t>(sample), 0, 255));
  }
  if (layout.number == TiffNumber::floating) {
    const float value = load<float>(sample);
    return value >= 255.0f ? 255 : value > 0.0f ? static_cast<std::uint8_t>(value) : 0;
  }
  return static_cast<std::uint8_t>(std::clamp(load<std::int32_t>(sample), 0, 255));
}

// Premultiplied colour back to plain colour, as the reference unpacks it.
void divide_alpha(std::uint8_t* rgba) {
  const int alpha = rgba[3];
  if (alpha == 255) return;
  for (int c = 0; c < 3; ++c) {
    rgba[c] = alpha == 0 ? 0 : static_cast<std::uint8_t>(std::min(rgba[c] * 255 / alpha, 255));
  }
}

}  // namespace

void unpack_tiff_row(std::uint8_t* out, const std::uint8_t* row, std::size_t n,
                     const TiffLayout& layout) {
  const bool is_gray = layout.is_gray();
  const std::size_t n_bytes = layout.bits / 8;
  if (layout.bits < 8) {
    const std::uint32_t mask = (1u << layout.bits) - 1, scale = is_gray ? 255 / mask : 1;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t bit = i * layout.bits;
      out[i] =
          static_cast<std::uint8_t>((row[bit / 8] >> (8 - layout.bits - bit % 8) & mask) * scale);
    }
  } else if (layout.bits == 8) {
    std::memcpy(out, row, n);
  } else if (is_gray) {
    for (std::size_t i = 0; i < n; ++i) out[i] = clip_wide(row + n_bytes * i, layout);
  } else {
    for (std::size_t i = 0; i < n; ++i)
      out[i] = static_cast<std::uint8_t>(load<std::uint16_t>(row + 2 * i) >> 8);
  }
  if (layout.color == TiffColor::gray_white_is_zero && layout.bits <= 8) {
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint8_t>(255 - out[i]);
  }
}

void convert_tiff_row(std::uint8_t* rgb, std::uint8_t* samples, int n, int step,
                      const TiffLayout& layout, const TiffPalette& palette, Loader loader) {
  for (int x = 0; x < n; ++x, samples += step, rgb += 3) {
    switch (layout.color) {
      case TiffColor::palette: rgb_from_palette(rgb, samples, 1, palette.rgb); break;
      case TiffColor::cmyk: rgb_from_cmyk(rgb, samples, 1, false); break;
      case TiffColor::ycbcr: rgb_from_ycbcr(rgb, samples, 1); break;
      case TiffColor::rgb:
        if (layout.has_alpha()) {
          if (layout.is_premultiplied()) divide_alpha(samples);
          rgb_from_rgba(rgb, samples, 1, loader);
        } else {
          std::copy_n(samples, 3, rgb);
        }
        break;
      default: rgb_from_gray(rgb, samples, 1);
    }
  }
}

}  // namespace qwenvl
