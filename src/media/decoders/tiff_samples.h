// How a TIFF page stores its samples, and one row of them as RGB. Private to src/media.
#pragma once

#include <cstddef>
#include <cstdint>

#include "media/image.h"

namespace qwenvl {

enum class TiffColor { gray_white_is_zero, gray, rgb, palette, cmyk, ycbcr, other };
enum class TiffNumber { unsigned_integer, signed_integer, floating, other };
enum class TiffExtra { none_stated, unspecified, premultiplied_alpha, alpha };

struct TiffLayout {
  std::uint32_t width = 0, height = 0;
  std::uint16_t bits = 1, n_samples = 1;
  TiffNumber number = TiffNumber::unsigned_integer;
  TiffColor color = TiffColor::gray_white_is_zero;
  TiffExtra first_extra = TiffExtra::none_stated;
  bool separate = false;  // one plane after the other

  int n_color() const {
    if (color == TiffColor::rgb || color == TiffColor::ycbcr) return 3;
    return color == TiffColor::cmyk ? 4 : 1;
  }
  bool is_gray() const {
    return color == TiffColor::gray || color == TiffColor::gray_white_is_zero;
  }
  // A fourth sample without a note counts as alpha, as the reference has it.
  bool has_alpha() const {
    return color == TiffColor::rgb && n_samples > 3 && first_extra != TiffExtra::unspecified;
  }
  bool is_premultiplied() const {
    return has_alpha() && first_extra == TiffExtra::premultiplied_alpha;
  }
  // Samples a pixel that the conversion looks at.
  int n_used() const { return has_alpha() ? 4 : n_color(); }
};

struct TiffPalette {
  std::uint8_t rgb[256][3];
};

// `n` samples of a file row → 8-bit samples. Grey is scaled to the full range or, where it is wider
// than a byte, clipped; colour wider than a byte keeps its high byte; palette indices stay.
void unpack_tiff_row(std::uint8_t* out, const std::uint8_t* row, std::size_t n,
                     const TiffLayout& layout);

// One row of `n` pixels of 8-bit samples, `step` samples a pixel → RGB. May change the samples.
void convert_tiff_row(std::uint8_t* rgb, std::uint8_t* samples, int n, int step,
                      const TiffLayout& layout, const TiffPalette& palette, Loader loader);

}  // namespace qwenvl
