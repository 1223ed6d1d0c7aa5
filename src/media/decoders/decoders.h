// What the decoders share: the job they get, the limits they keep, the row conversions of the
// reference loaders.  Private to src/media.
// Before: image.cpp has recognised the format.   After: image.cpp applies the EXIF orientation.
// Mirrors the mode conversions of Pillow ("L", "RGBA", "CMYK", … → "RGB").
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "media/image.h"

namespace qwenvl {

struct DecodeJob {
  std::span<const std::byte> bytes;
  const std::string& name;
  Loader loader;
  const DecodeLimits& limits;
  const char* format = "";  // "JPEG", "PNG", … for messages

  const std::uint8_t* data() const { return reinterpret_cast<const std::uint8_t*>(bytes.data()); }
  std::size_t size() const { return bytes.size(); }
};

struct Decoded {
  Image image;
  int orientation = 1;         // EXIF, 1..8; applied by the hf loader only …
  bool always_rotate = false;  // … except where the reference rotates while it loads (TIFF)
};

Decoded decode_jpeg(const DecodeJob& job);
Decoded decode_png(const DecodeJob& job);
Decoded decode_webp(const DecodeJob& job);
Decoded decode_gif(const DecodeJob& job);
Decoded decode_bmp(const DecodeJob& job);
Decoded decode_tiff(const DecodeJob& job);

// Throws bad_file "photo.jpg: damaged JPEG: <what>".
[[noreturn]] void fail_damaged(const DecodeJob& job, std::string_view what);
// Throws unsupported "photo.bmp: BMP with <what> is not supported; …".
[[noreturn]] void fail_unsupported(const DecodeJob& job, std::string_view what);

// Refuses zero sizes and sizes above the limits, before any memory is taken.
void check_image_size(const DecodeJob& job, std::int64_t width, std::int64_t height);

// An image whose memory is reserved but not touched: a damaged file that claims to be huge costs
// only the rows that it really holds.
Image reserve_image(std::int64_t width, std::int64_t height);
// The next row, zeroed; rows come top to bottom.
std::uint8_t* append_row(Image& image);

// One row of `n` pixels → RGB, as Pillow's convert("RGB") or, for RGBA under the qwen_vl_utils
// loader, as a paste onto white with the picture's own alpha.
void rgb_from_gray(std::uint8_t* rgb, const std::uint8_t* gray, int n, int step = 1);
void rgb_from_rgbx(std::uint8_t* rgb, const std::uint8_t* rgbx, int n);
void rgb_from_rgba(std::uint8_t* rgb, const std::uint8_t* rgba, int n, Loader loader);
void rgb_from_cmyk(std::uint8_t* rgb, const std::uint8_t* cmyk, int n, bool inverted);
void rgb_from_ycbcr(std::uint8_t* rgb, const std::uint8_t* ycbcr, int n);
// Palette entries that the file does not define are black.
void rgb_from_palette(std::uint8_t* rgb, const std::uint8_t* indices, int n,
                      const std::uint8_t (*palette)[3]);

// 16-bit grey to 8 bits: Pillow clips ("I;16" → "RGB"), it does not scale.
inline std::uint8_t clip_gray16(std::uint32_t value) {
  return value > 255 ? 255 : static_cast<std::uint8_t>(value);
}

}  // namespace qwenvl
