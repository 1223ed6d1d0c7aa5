// Windows and OS/2 bitmaps → RGB: 1, 4, 8, 16, 24 and 32 bits, RLE4, RLE8, bit fields, either row
// order.
// Before: image.cpp recognised the bytes.   After: nothing; BMP carries no orientation.
// Mirrors Pillow's BMP plugin: the fourth byte of plain 32-bit files is padding, bit fields with an
// alpha mask read as RGBA, 5- and 6-bit channels scale by truncating division.
#include <algorithm>
#include <array>
#include <vector>

#include "core/check.h"
#include "media/decoders/decoders.h"

namespace qwenvl {
namespace {

enum Compression { kRaw = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3 };

// Little-endian reads that refuse to leave the file.
struct BmpBytes {
  const DecodeJob& job;

  std::uint8_t u8(std::size_t at) const {
    if (at >= job.size()) fail_damaged(job, "the data ends inside the header (truncated file)");
    return job.data()[at];
  }
  std::uint32_t u16(std::size_t at) const { return u8(at) | std::uint32_t{u8(at + 1)} << 8; }
  std::uint32_t u32(std::size_t at) const { return u16(at) | u16(at + 2) << 16; }
};

using Masks = std::array<std::uint32_t, 4>;  // red, green, blue, alpha

struct BmpHeader {
  std::int64_t width = 0, height = 0;
  bool top_down = false;
  std::uint32_t bits = 0, compression = kRaw, n_colors = 0;
  std::size_t palette_at = 0, palette_entry_bytes = 4, pixels_at = 0;
  Masks masks{};
};

void read_masks(const BmpBytes& in, std::uint32_t header_size, BmpHeader& header) {
  const int n_masks = header_size >= 56 ? 4 : 3;
  for (int i = 0; i < n_masks; ++i) header.masks[i] = in.u32(14 + 40 + 4 * i);
  if (header_size == 40) header.palette_at += 12;  // the masks follow the short header
}

BmpHeader read_header(const DecodeJob& job) {
  const BmpBytes in{job};
  BmpHeader header;
  header.pixels_at = in.u32(10);
  const std::uint32_t header_size = in.u32(14);
  header.palette_at = 14 + std::size_t{header_size};
  if (header_size == 12) {
    header.width = in.u16(18);
    header.height = in.u16(20);
    header.bits = in.u16(24);
    header.palette_entry_bytes = 3;
  } else if (header_size == 40 || header_size == 52 || header_size == 56 || header_size == 64 ||
             header_size == 108 || header_size == 124) {
    header.width = in.u32(18);
    header.top_down = in.u8(25) == 0xff;  // a negative height
    header.height = header.top_down ? (std::int64_t{1} << 32) - in.u32(22) : in.u32(22);
    header.bits = in.u16(28);
    header.compression = in.u32(30);
    header.n_colors = in.u32(46);
    if (header.compression == kBitFields) read_masks(in, header_size, header);
  } else {
    fail_damaged(job,
                 fmt::format("the header is {} bytes long, expected 12, 40, 52, 56, 64, 108 or 124",
                             header_size));
  }
  if (header.bits != 1 && header.bits != 4 && header.bits != 8 && header.bits != 16 &&
      header.bits != 24 && header.bits != 32) {
    fail_damaged(job, fmt::format("{} bits a pixel, expected 1, 4, 8, 16, 24 or 32", header.bits));
  }
  if (header.n_colors == 0 && header.bits <= 8) header.n_colors = 1u << header.bits;
  if (header.bits <= 8 && header.n_colors > 65536) {
    fail_damaged(
        job, fmt::format("the palette has {} colours, expected at most 65536", header.n_colors));
  }
  const std::size_t palette_bytes =
      header.bits <= 8 ? header.palette_entry_bytes * std::size_t{header.n_colors} : 0;
  // Some writers point at the palette instead of the pixels.
  if (header.pixels_at == 0) header.pixels_at = header.palette_at + palette_bytes;
  if (header.pixels_at == 14 + std::size_t{header_size}) header.pixels_at += palette_bytes;
  return header;
}

struct Palette {
  std::uint8_t rgb[256][3];
};

Palette read_palette(const DecodeJob& job, const BmpHeader& header) {
  Palette palette{};
  bool is_gray_ramp = true;
  for (std::uint32_t i = 0; i < header.n_colors; ++i) {
    const std::size_t at = header.palette_at + header.palette_entry_bytes * std::size_t{i};
    if (at + 3 > job.size()) {
      is_gray_ramp = false;
      break;
    }
    const std::uint8_t* bgr = job.data() + at;
    if (i < 256) {
      for (int c = 0; c < 3; ++c) palette.rgb[i][c] = bgr[2 - c];
    }
    const std::uint32_t gray = header.n_colors == 2 ? 255 * i : i;
    is_gray_ramp = is_gray_ramp && bgr[0] == gray && bgr[1] == gray && bgr[2] == gray;
  }
  if (is_gray_ramp && header.bits == 8) {  // a ramp makes the file plain grey, beyond its end too
    for (int i = 0; i < 256; ++i) std::fill_n(palette.rgb[i], 3, static_cast<std::uint8_t>(i));
  }
  return palette;
}

// Where the channels of a 32-bit pixel lie, by byte; -1 for no alpha.
struct Layout {
  Masks masks;
  int red, green, blue, alpha;
};
constexpr Layout kLayouts32[] = {
    {{0xff0000, 0xff00, 0xff, 0}, 2, 1, 0, -1},
    {{0xff000000, 0xff0000, 0xff00, 0}, 3, 2, 1, -1},
    {{0xff000000, 0xff00, 0xff, 0}, 3, 1, 0, -1},
    {{0xff000000, 0xff0000, 0xff00, 0xff}, 3, 2, 1, 0},
    {{0xff, 0xff00, 0xff0000, 0xff000000}, 0, 1, 2, 3},
    {{0xff0000, 0xff00, 0xff, 0xff000000}, 2, 1, 0, 3},
    {{0xff000000, 0xff00, 0xff, 0xff0000}, 3, 1, 0, 2},
    {{0, 0, 0, 0}, 2, 1, 0, 3},
};
constexpr Masks kMasks565 = {0xf800, 0x7e0, 0x1f, 0}, kMasks555 = {0x7c00, 0x3e0, 0x1f, 0};
constexpr Masks kMasks24 = {0xff0000, 0xff00, 0xff, 0};

// Checks the bit fields once; rows rely on it.
const Layout* find_layout(const DecodeJob& job, const BmpHeader& header) {
  if (header.compression != kBitFields) return &kLayouts32[0];
  const Masks rgb = {header.masks[0], header.masks[1], header.masks[2], 0};
  if (header.bits == 16 && (rgb == kMasks565 || rgb == kMasks555)) return &kLayouts32[0];
  if (header.bits == 24 && rgb == kMasks24) return &kLayouts32[0];
  if (header.bits == 32) {
    for (const Layout& layout : kLayouts32) {
      if (layout.masks == header.masks) return &layout;
    }
  }
  fail_unsupported(
      job, fmt::format("{}-bit fields {:08x} {:08x} {:08x} {:08x}", header.bits, header.masks[0],
                       header.masks[1], header.masks[2], header.masks[3]));
}

void convert_low_bits(std::uint8_t* rgb, const std::uint8_t* row, int n, std::uint32_t bits,
                      const Palette& palette) {
  const std::uint32_t per_byte = 8 / bits, mask = (1u << bits) - 1;
  for (std::uint32_t x = 0; x < static_cast<std::uint32_t>(n); ++x, rgb += 3) {
    const std::uint32_t shift = 8 - bits * (x % per_byte + 1);
    std::copy_n(palette.rgb[row[x / per_byte] >> shift & mask], 3, rgb);
  }
}

void convert_16(std::uint8_t* rgb, const std::uint8_t* row, int n, bool is_565) {
  const int green_max = is_565 ? 63 : 31, red_shift = is_565 ? 11 : 10;
  for (int x = 0; x < n; ++x, row += 2, rgb += 3) {
    const int pixel = row[0] | row[1] << 8;
    rgb[0] = static_cast<std::uint8_t>((pixel >> red_shift & 31) * 255 / 31);
    rgb[1] = static_cast<std::uint8_t>((pixel >> 5 & green_max) * 255 / green_max);
    rgb[2] = static_cast<std::uint8_t>((pixel & 31) * 255 / 31);
  }
}

void convert_row(std::uint8_t* rgb, const std::uint8_t* row, int n, const BmpHeader& header,
                 const Palette& palette, const Layout& layout, Loader loader) {
  if (header.bits <= 8) return convert_low_bits(rgb, row, n, header.bits, palette);
  if (header.bits == 16) return convert_16(rgb, row, n, header.masks[0] == kMasks565[0]);
  if (header.bits == 24) {
    for (int x = 0; x < n; ++x, row += 3, rgb += 3) std::reverse_copy(row, row + 3, rgb);
    return;
  }
  for (int x = 0; x < n; ++x, row += 4, rgb += 3) {
    const std::uint8_t alpha = layout.alpha < 0 ? 255 : row[layout.alpha];
    const std::uint8_t rgba[4] = {row[layout.red], row[layout.green], row[layout.blue], alpha};
    rgb_from_rgba(rgb, rgba, 1, loader);
  }
}

// Run-length data → one index a byte, rows in file order; shorter than the picture when the file
// ends early.
class RleDecoder {
 public:
  RleDecoder(const DecodeJob& job, const BmpHeader& header)
      : job_(job),
        at_(header.pixels_at),
        width_(static_cast<std::size_t>(header.width)),
        n_pixels_(width_ * static_cast<std::size_t>(header.height)),
        is_rle4_(header.compression == kRle4) {}

  std::vector<std::uint8_t> decode() {
    while (out_.size() < n_pixels_ && left() >= 2) {
      const std::size_t count = next();
      const std::uint8_t value = next();
      if (count > 0) {
        append_run(count, value);
      } else if (!escape(value)) {
        break;
      }
    }
    return std::move(out_);
  }

 private:
  std::size_t left() const { return at_ < job_.size() ? job_.size() - at_ : 0; }
  std::uint8_t next() { return job_.data()[at_++]; }
  void append_zeros(std::size_t n) {
    out_.resize(out_.size() + std::min(n, n_pixels_ - out_.size()));
  }

  void append_run(std::size_t count, std::uint8_t value) {
    if (x_ + count > width_) count = width_ > x_ ? width_ - x_ : 0;  // a run stops at the row's end
    for (std::size_t i = 0; i < count; ++i) {
      out_.push_back(!is_rle4_ ? value : i % 2 == 0 ? value >> 4 : value & 15);
    }
    x_ += count;
  }

  // End of line, end of picture, jump, or literal pixels; false at the end.
  bool escape(std::uint8_t code) {
    if (code == 0) {
      if (out_.size() % width_ != 0) append_zeros(width_ - out_.size() % width_);
      x_ = 0;
      return true;
    }
    if (code == 1) return false;
    if (code == 2) {
      if (left() < 2) return false;
      const std::size_t right = next();
      const std::size_t up = next();
      append_zeros(right + up * width_);
      x_ = out_.size() % width_;
      return true;
    }
    return literal(code);
  }

  bool literal(std::size_t count) {
    const std::size_t n = std::min(count, n_pixels_ - out_.size());
    const std::size_t n_bytes = is_rle4_ ? (n + 1) / 2 : n;
    if (left() < n_bytes) return false;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint8_t byte = job_.data()[at_ + (is_rle4_ ? i / 2 : i)];
      out_.push_back(!is_rle4_ ? byte : i % 2 == 0 ? byte >> 4 : byte & 15);
    }
    at_ += n_bytes;
    x_ += count;
    if (at_ % 2 != 0) ++at_;  // literals end on an even file position
    return out_.size() < n_pixels_;
  }

  const DecodeJob& job_;
  std::size_t at_, width_, n_pixels_;
  bool is_rle4_;
  std::size_t x_ = 0;
  std::vector<std::uint8_t> out_;
};

}  // namespace

Decoded decode_bmp(const DecodeJob& job) {
  BmpHeader header = read_header(job);
  check_image_size(job, header.width, header.height);
  const Palette palette = header.bits <= 8 ? read_palette(job, header) : Palette{};
  const Layout& layout = *find_layout(job, header);
  std::vector<std::uint8_t> unpacked;
  const std::uint8_t* pixels = nullptr;
  std::size_t stride = (static_cast<std::size_t>(header.width) * header.bits + 31) / 32 * 4;
  std::size_t n_available = 0;
  std::size_t last_row_bytes = (static_cast<std::size_t>(header.width) * header.bits + 7) / 8;
  if (header.compression == kRle8 || header.compression == kRle4) {
    if (header.bits != (header.compression == kRle8 ? 8u : 4u)) {
      fail_damaged(job, fmt::format("run-length code {} with {} bits a pixel", header.compression,
                                    header.bits));
    }
    unpacked = RleDecoder(job, header).decode();
    header.bits = 8;
    pixels = unpacked.data();
    n_available = unpacked.size();
    stride = last_row_bytes = static_cast<std::size_t>(header.width);
  } else if (header.compression == kRaw || header.compression == kBitFields) {
    pixels = job.data() + std::min(header.pixels_at, job.size());
    n_available = job.size() - std::min(header.pixels_at, job.size());
  } else {
    fail_unsupported(job, fmt::format("compression {}", header.compression));
  }
  const std::size_t n_needed =
      stride * static_cast<std::size_t>(header.height - 1) + last_row_bytes;
  if (n_available < n_needed) {
    fail_damaged(job, fmt::format("{} bytes of pixels, expected {} (truncated file)", n_available,
                                  n_needed));
  }
  Decoded out{reserve_image(header.width, header.height)};
  const int width = out.image.width, height = out.image.height;
  for (int y = 0; y < height; ++y) {
    const std::size_t file_row = static_cast<std::size_t>(header.top_down ? y : height - 1 - y);
    convert_row(append_row(out.image), pixels + stride * file_row, width, header, palette, layout,
                job.loader);
  }
  return out;
}

}  // namespace qwenvl
