// Limits and row conversions shared by the image decoders.
// Before: a decoder has one row of file samples.   After: the row is RGB, as the reference has it.
// Mirrors the integer arithmetic of Pillow's Convert, Paste and YCbCr code.
#include "media/decoders/decoders.h"

#include <algorithm>
#include <array>

#include "core/check.h"

namespace qwenvl {
namespace {

// Pillow's division by 255 of products of two bytes, rounded.
inline int product255(int a, int b) {
  const int t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

inline std::uint8_t clip8(int value) {
  return static_cast<std::uint8_t>(std::clamp(value, 0, 255));
}

// Fixed-point tables of the YCbCr conversion, 6 fraction bits. The reference adds a half and
// truncates, for negative values too.
struct YcbcrTables {
  std::array<int, 256> r_cr, g_cb, g_cr, b_cb;

  YcbcrTables() {
    for (int i = 0; i < 256; ++i) {
      const double chroma = i - 128;
      r_cr[i] = static_cast<int>(1.40200 * 64 * chroma + 0.5);
      g_cb[i] = static_cast<int>(-0.34414 * 64 * chroma + 0.5);
      g_cr[i] = static_cast<int>(-0.71414 * 64 * chroma + 0.5);
      b_cb[i] = static_cast<int>(1.77200 * 64 * chroma + 0.5);
    }
  }
};

}  // namespace

void fail_damaged(const DecodeJob& job, std::string_view what) {
  std::string text(what);  // may quote the file, so it is made safe for one line of UTF-8
  for (char& c : text) c = c >= 0x20 && c < 0x7f ? c : '?';
  fail(ErrorKind::bad_file, "{}: damaged {}: {}", job.name, job.format, text);
}

void fail_unsupported(const DecodeJob& job, std::string_view what) {
  fail(ErrorKind::unsupported, "{}: {} with {} is not supported; convert it to PNG or JPEG",
       job.name, job.format, what);
}

void check_image_size(const DecodeJob& job, std::int64_t width, std::int64_t height) {
  if (width <= 0 || height <= 0) {
    fail_damaged(job,
                 fmt::format("the size is {} x {} pixels, expected at least 1 x 1", width, height));
  }
  const DecodeLimits& limits = job.limits;
  if (width > limits.max_side_px || height > limits.max_side_px) {
    fail(ErrorKind::bad_file, "{}: the {} is {} x {} pixels, expected at most {} on a side",
         job.name, job.format, width, height, limits.max_side_px);
  }
  if (width > limits.max_pixels / height) {
    fail(ErrorKind::bad_file, "{}: the {} is {} x {} = {} pixels, expected at most {}", job.name,
         job.format, width, height, width * height, limits.max_pixels);
  }
}

Image reserve_image(std::int64_t width, std::int64_t height) {
  Image image;
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  image.rgb.reserve(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
  return image;
}

std::uint8_t* append_row(Image& image) {
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * 3;
  const std::size_t start = image.rgb.size();
  image.rgb.resize(start + row_bytes);
  return image.rgb.data() + start;
}

void rgb_from_gray(std::uint8_t* rgb, const std::uint8_t* gray, int n, int step) {
  for (int i = 0; i < n; ++i, gray += step, rgb += 3) rgb[0] = rgb[1] = rgb[2] = *gray;
}

void rgb_from_rgbx(std::uint8_t* rgb, const std::uint8_t* rgbx, int n) {
  for (int i = 0; i < n; ++i, rgbx += 4, rgb += 3) {
    rgb[0] = rgbx[0];
    rgb[1] = rgbx[1];
    rgb[2] = rgbx[2];
  }
}

void rgb_from_rgba(std::uint8_t* rgb, const std::uint8_t* rgba, int n, Loader loader) {
  if (loader == Loader::hf) return rgb_from_rgbx(rgb, rgba, n);
  for (int i = 0; i < n; ++i, rgba += 4, rgb += 3) {
    const int alpha = rgba[3];
    for (int c = 0; c < 3; ++c) {
      // t = mask * src + (255 - mask) * 255 + 128; out = (t + (t >> 8)) >> 8
      const int t = alpha * rgba[c] + (255 - alpha) * 255 + 128;
      rgb[c] = static_cast<std::uint8_t>((t + (t >> 8)) >> 8);
    }
  }
}

void rgb_from_cmyk(std::uint8_t* rgb, const std::uint8_t* cmyk, int n, bool inverted) {
  const int flip = inverted ? 255 : 0;
  for (int i = 0; i < n; ++i, cmyk += 4, rgb += 3) {
    const int paper = 255 - (cmyk[3] ^ flip);
    for (int c = 0; c < 3; ++c) rgb[c] = clip8(paper - product255(cmyk[c] ^ flip, paper));
  }
}

void rgb_from_ycbcr(std::uint8_t* rgb, const std::uint8_t* ycbcr, int n) {
  static const YcbcrTables tables;
  for (int i = 0; i < n; ++i, ycbcr += 3, rgb += 3) {
    const int y = ycbcr[0], cb = ycbcr[1], cr = ycbcr[2];
    rgb[0] = clip8(y + (tables.r_cr[cr] >> 6));
    rgb[1] = clip8(y + ((tables.g_cb[cb] + tables.g_cr[cr]) >> 6));
    rgb[2] = clip8(y + (tables.b_cb[cb] >> 6));
  }
}

void rgb_from_palette(std::uint8_t* rgb, const std::uint8_t* indices, int n,
                      const std::uint8_t (*palette)[3]) {
  for (int i = 0; i < n; ++i, rgb += 3) std::copy_n(palette[indices[i]], 3, rgb);
}

}  // namespace qwenvl
