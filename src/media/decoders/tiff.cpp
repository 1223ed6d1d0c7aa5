// The first page of a TIFF → RGB with libtiff: strips and tiles, planes together or apart, every
// compression the library was built with.
// Before: image.cpp recognised the bytes.   After: exif.cpp turns the picture, for both loaders.
// Mirrors Pillow's TIFF plugin: which sample layouts are readable, premultiplied alpha divided out,
// 16-bit colour keeps its high byte, wide grey is clipped at 255, orientation applied while
// loading.
#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "core/check.h"
#include "media/decoders/decoders.h"
#include "media/decoders/exif.h"
#include "media/decoders/tiff_samples.h"

namespace qwenvl {
namespace {

constexpr tmsize_t kMaxSingleAllocation = tmsize_t{256} << 20;
constexpr std::uint32_t kMaxSamples = 6;

// The file in memory, and the first error libtiff reports about it. One per handle: no globals.
struct TiffState {
  const std::uint8_t* data;
  std::uint64_t size;
  std::uint64_t at = 0;
  char message[256] = "";
};

TiffState& state_of(thandle_t handle) { return *static_cast<TiffState*>(handle); }

tmsize_t on_read(thandle_t handle, void* out, tmsize_t n) {
  TiffState& state = state_of(handle);
  const std::uint64_t left = state.at < state.size ? state.size - state.at : 0;
  const std::uint64_t n_read = std::min(left, static_cast<std::uint64_t>(std::max<tmsize_t>(n, 0)));
  if (n_read > 0) std::memcpy(out, state.data + state.at, n_read);
  state.at += n_read;
  return static_cast<tmsize_t>(n_read);
}
tmsize_t on_write(thandle_t, void*, tmsize_t) { return 0; }
toff_t on_seek(thandle_t handle, toff_t offset, int whence) {
  TiffState& state = state_of(handle);
  state.at = whence == SEEK_SET   ? offset
             : whence == SEEK_CUR ? state.at + offset
                                  : state.size + offset;
  return state.at;
}
int on_close(thandle_t) { return 0; }
toff_t on_size(thandle_t handle) { return state_of(handle).size; }
int on_map(thandle_t handle, void** base, toff_t* size) {
  TiffState& state = state_of(handle);
  *base = const_cast<std::uint8_t*>(state.data);  // opened read-only: libtiff does not write to it
  *size = state.size;
  return 1;
}
void on_unmap(thandle_t, void*, toff_t) {}

int on_error(TIFF*, void* user, const char*, const char* format, va_list arguments) {
  TiffState& state = *static_cast<TiffState*>(user);
  if (!state.message[0]) std::vsnprintf(state.message, sizeof state.message, format, arguments);
  return 1;
}
int on_warning(TIFF*, void*, const char*, const char*, va_list) { return 1; }

struct TiffDeleter {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};
using Tiff = std::unique_ptr<TIFF, TiffDeleter>;

Tiff open_tiff(TiffState& state) {
  TIFFOpenOptions* options = TIFFOpenOptionsAlloc();
  if (!options) return nullptr;
  TIFFOpenOptionsSetMaxSingleMemAlloc(options, kMaxSingleAllocation);
  TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, &state);
  TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, &state);
  Tiff tiff(TIFFClientOpenExt("TIFF", "r", &state, on_read, on_write, on_seek, on_close, on_size,
                              on_map, on_unmap, options));
  TIFFOpenOptionsFree(options);
  return tiff;
}

[[noreturn]] void fail_tiff(const DecodeJob& job, const TiffState& state, const char* otherwise) {
  fail_damaged(job, state.message[0] ? state.message : otherwise);
}

TiffColor color_of(std::uint16_t photometric) {
  switch (photometric) {
    case PHOTOMETRIC_MINISWHITE: return TiffColor::gray_white_is_zero;
    case PHOTOMETRIC_MINISBLACK: return TiffColor::gray;
    case PHOTOMETRIC_RGB: return TiffColor::rgb;
    case PHOTOMETRIC_PALETTE: return TiffColor::palette;
    case PHOTOMETRIC_SEPARATED: return TiffColor::cmyk;
    case PHOTOMETRIC_YCBCR: return TiffColor::ycbcr;
    default: return TiffColor::other;
  }
}

TiffNumber number_of(std::uint16_t sample_format) {
  switch (sample_format) {
    case SAMPLEFORMAT_UINT: return TiffNumber::unsigned_integer;
    case SAMPLEFORMAT_INT: return TiffNumber::signed_integer;
    case SAMPLEFORMAT_IEEEFP: return TiffNumber::floating;
    default: return TiffNumber::other;
  }
}

TiffExtra first_extra_of(TIFF* tiff) {
  std::uint16_t n_extra = 0;
  std::uint16_t* extra = nullptr;
  if (!TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &n_extra, &extra) || n_extra == 0 || !extra) {
    return TiffExtra::none_stated;
  }
  if (extra[0] == EXTRASAMPLE_UNSPECIFIED) return TiffExtra::unspecified;
  return extra[0] == EXTRASAMPLE_ASSOCALPHA ? TiffExtra::premultiplied_alpha : TiffExtra::alpha;
}

// Sample layouts the reference cannot read are refused here too, before any row is decoded.
bool is_readable(const TiffLayout& layout) {
  const std::uint16_t bits = layout.bits;
  const bool is_plain = layout.number == TiffNumber::unsigned_integer;
  if (layout.n_samples > kMaxSamples || layout.n_samples < layout.n_color()) return false;
  switch (layout.color) {
    case TiffColor::gray_white_is_zero:
    case TiffColor::gray:
      if (layout.n_samples > 2 || (layout.n_samples == 2 && bits != 8)) return false;
      if (layout.number == TiffNumber::other) return false;
      if (layout.number == TiffNumber::floating) return bits == 32;
      return bits == 32 || bits == 16 || bits == 8 ||
             (is_plain && (bits == 1 || bits == 2 || bits == 4));
    case TiffColor::palette:
      if (layout.n_samples > 2 || (layout.n_samples == 2 && bits != 8)) return false;
      return is_plain && (bits == 1 || bits == 2 || bits == 4 || bits == 8);
    case TiffColor::rgb:
    case TiffColor::cmyk: return is_plain && (bits == 8 || bits == 16);
    case TiffColor::ycbcr: return is_plain && bits == 8 && layout.n_samples == 3;
    case TiffColor::other: return false;
  }
  return false;
}

TiffLayout read_layout(const DecodeJob& job, const TiffState& state, TIFF* tiff) {
  TiffLayout layout;
  if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &layout.width) ||
      !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &layout.height)) {
    fail_tiff(job, state, "the size is missing");
  }
  check_image_size(job, layout.width, layout.height);
  std::uint16_t planes = PLANARCONFIG_CONTIG, sample_format = SAMPLEFORMAT_UINT;
  std::uint16_t photometric = PHOTOMETRIC_MINISWHITE;  // what a file without the tag means
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &layout.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &layout.n_samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &sample_format);
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planes);
  layout.color = color_of(photometric);
  // libtiff turns a palette picture into a grey one when it cannot read the palette.
  const bool has_palette =
      tiff_integer({job.data(), job.size()}, TIFFTAG_PHOTOMETRIC) == PHOTOMETRIC_PALETTE;
  if (has_palette && layout.color != TiffColor::palette)
    fail_damaged(job, "the palette is missing");
  layout.number = number_of(sample_format);
  layout.first_extra = first_extra_of(tiff);
  layout.separate = planes == PLANARCONFIG_SEPARATE && layout.n_samples > 1;
  if (!is_readable(layout)) {
    fail_unsupported(job, fmt::format("colour space {}, {} samples of {} bits, sample format {}",
                                      photometric, layout.n_samples, layout.bits, sample_format));
  }
  return layout;
}

TiffPalette read_palette(const DecodeJob& job, TIFF* tiff, const TiffLayout& layout) {
  TiffPalette palette{};
  std::uint16_t *red = nullptr, *green = nullptr, *blue = nullptr;
  if (!TIFFGetField(tiff, TIFFTAG_COLORMAP, &red, &green, &blue))
    fail_damaged(job, "the palette is missing");
  for (int i = 0; i < (1 << layout.bits); ++i) {
    palette.rgb[i][0] = static_cast<std::uint8_t>(red[i] >> 8);
    palette.rgb[i][1] = static_cast<std::uint8_t>(green[i] >> 8);
    palette.rgb[i][2] = static_cast<std::uint8_t>(blue[i] >> 8);
  }
  return palette;
}

// The rows of one plane in file order, from strips or from tiles.
class RowSource {
 public:
  RowSource(const DecodeJob& job, const TiffState& state, TIFF* tiff, const TiffLayout& layout)
      : job_(job), state_(state), tiff_(tiff), layout_(layout) {
    const tmsize_t row_bytes = TIFFScanlineSize(tiff);
    const std::uint64_t per_row = layout.separate ? 1 : layout.n_samples;
    row_bytes_ = (std::uint64_t{layout.width} * per_row * layout.bits + 7) / 8;
    if (row_bytes <= 0 || static_cast<std::uint64_t>(row_bytes) < row_bytes_) {
      fail_tiff(job, state, "the row size does not fit the picture");
    }
    if (TIFFIsTiled(tiff)) {
      prepare_tiles();
    } else {
      buffer_.resize(static_cast<std::size_t>(row_bytes));
    }
  }

  const std::uint8_t* row(std::uint32_t y, std::uint16_t plane) {
    if (tile_.empty()) {
      if (TIFFReadScanline(tiff_, buffer_.data(), y, plane) < 0)
        fail_tiff(job_, state_, "a row cannot be read");
      return buffer_.data();
    }
    if (y % tile_height_ == 0) read_band(y, plane);
    return buffer_.data() + band_row_bytes_ * (y % tile_height_);
  }

 private:
  void prepare_tiles() {
    std::uint32_t tile_width = 0;
    TIFFGetField(tiff_, TIFFTAG_TILEWIDTH, &tile_width);
    TIFFGetField(tiff_, TIFFTAG_TILELENGTH, &tile_height_);
    const tmsize_t tile_bytes = TIFFTileSize(tiff_), tile_row_bytes = TIFFTileRowSize(tiff_);
    if (tile_width == 0 || tile_height_ == 0 || tile_bytes <= 0 || tile_row_bytes <= 0 ||
        tile_bytes > kMaxSingleAllocation) {
      fail_damaged(job_, fmt::format("tiles of {} x {} pixels ({} bytes)", tile_width, tile_height_,
                                     tile_bytes));
    }
    tile_row_bytes_ = static_cast<std::size_t>(tile_row_bytes);
    tile_width_ = tile_width;
    const std::uint64_t n_across = (std::uint64_t{layout_.width} + tile_width - 1) / tile_width;
    band_row_bytes_ = static_cast<std::size_t>(n_across) * tile_row_bytes_;
    const std::uint64_t n_band_rows = std::min(tile_height_, layout_.height);
    if (n_band_rows * band_row_bytes_ > (std::uint64_t{1} << 31)) {
      fail_damaged(job_, fmt::format("tiles of {} x {} pixels", tile_width, tile_height_));
    }
    tile_.resize(static_cast<std::size_t>(tile_bytes));
    buffer_.resize(n_band_rows * band_row_bytes_);
  }

  void read_band(std::uint32_t y, std::uint16_t plane) {
    const std::uint32_t n_rows = std::min(tile_height_, layout_.height - y);
    std::size_t offset = 0;
    for (std::uint32_t x = 0; x < layout_.width; x += tile_width_, offset += tile_row_bytes_) {
      if (TIFFReadTile(tiff_, tile_.data(), x, y, 0, plane) < 0)
        fail_tiff(job_, state_, "a tile cannot be read");
      for (std::uint32_t i = 0; i < n_rows; ++i) {
        std::memcpy(buffer_.data() + band_row_bytes_ * i + offset,
                    tile_.data() + tile_row_bytes_ * i, tile_row_bytes_);
      }
      if (layout_.width - x <= tile_width_) break;  // x + tile_width_ may not fit 32 bits
    }
  }

  const DecodeJob& job_;
  const TiffState& state_;
  TIFF* tiff_;
  const TiffLayout& layout_;
  std::uint64_t row_bytes_ = 0;
  std::uint32_t tile_width_ = 0, tile_height_ = 0;
  std::size_t tile_row_bytes_ = 0, band_row_bytes_ = 0;
  std::vector<std::uint8_t> tile_, buffer_;
};

Image decode_rows(const DecodeJob& job, const TiffState& state, TIFF* tiff,
                  const TiffLayout& layout) {
  const TiffPalette palette =
      layout.color == TiffColor::palette ? read_palette(job, tiff, layout) : TiffPalette{};
  RowSource source(job, state, tiff, layout);
  Image image = reserve_image(layout.width, layout.height);
  const int width = image.width;
  if (!layout.separate) {
    std::vector<std::uint8_t> samples(std::size_t{layout.width} * layout.n_samples);
    for (std::uint32_t y = 0; y < layout.height; ++y) {
      unpack_tiff_row(samples.data(), source.row(y, 0), samples.size(), layout);
      convert_tiff_row(append_row(image), samples.data(), width, layout.n_samples, layout, palette,
                       job.loader);
    }
    return image;
  }
  // Planes one after the other: all samples must be kept until the last plane has come.
  const std::size_t step = static_cast<std::size_t>(layout.n_used());
  std::vector<std::uint8_t> samples, plane_row(layout.width);
  samples.resize(step * layout.width * layout.height);
  for (std::size_t plane = 0; plane < step; ++plane) {
    for (std::uint32_t y = 0; y < layout.height; ++y) {
      unpack_tiff_row(plane_row.data(), source.row(y, static_cast<std::uint16_t>(plane)),
                      layout.width, layout);
      std::uint8_t* out = samples.data() + step * layout.width * y + plane;
      for (std::uint32_t x = 0; x < layout.width; ++x) out[step * x] = plane_row[x];
    }
  }
  for (std::uint32_t y = 0; y < layout.height; ++y) {
    convert_tiff_row(append_row(image), samples.data() + step * layout.width * y, width,
                     static_cast<int>(step), layout, palette, job.loader);
  }
  return image;
}

struct RgbaReader {
  TIFFRGBAImage image{};
  bool is_open = false;
  ~RgbaReader() {
    if (is_open) TIFFRGBAImageEnd(&image);
  }
};

// YCbCr with subsampling: libtiff's own conversion, a block of rows at a time.
Image decode_as_rgba(const DecodeJob& job, const TiffState& state, TIFF* tiff,
                     const TiffLayout& layout) {
  char message[1024] = "";
  RgbaReader reader;
  reader.is_open =
      TIFFRGBAImageOK(tiff, message) && TIFFRGBAImageBegin(&reader.image, tiff, 0, message);
  if (!reader.is_open) fail_damaged(job, message);
  reader.image.orientation = reader.image.req_orientation = ORIENTATION_TOPLEFT;
  std::uint32_t n_block_rows = 0;
  const bool is_tiled = TIFFIsTiled(tiff);
  TIFFGetFieldDefaulted(tiff, is_tiled ? TIFFTAG_TILELENGTH : TIFFTAG_ROWSPERSTRIP, &n_block_rows);
  n_block_rows = std::clamp<std::uint32_t>(n_block_rows, 1, layout.height);
  Image image = reserve_image(layout.width, layout.height);
  std::vector<std::uint32_t> block(std::size_t{layout.width} * n_block_rows);
  for (std::uint32_t y = 0; y < layout.height; y += n_block_rows) {
    const std::uint32_t n_rows = std::min(n_block_rows, layout.height - y);
    reader.image.row_offset = static_cast<int>(y);
    if (!TIFFRGBAImageGet(&reader.image, block.data(), layout.width, n_rows)) {
      fail_tiff(job, state, "a block of rows cannot be read");
    }
    for (std::uint32_t i = 0; i < n_rows; ++i) {
      const auto* rgba =
          reinterpret_cast<const std::uint8_t*>(block.data() + std::size_t{layout.width} * i);
      rgb_from_rgbx(append_row(image), rgba, image.width);
    }
  }
  if (state.message[0])
    fail_tiff(job, state, "");  // the RGBA reader goes on after errors; we do not
  return image;
}

int find_orientation(TIFF* tiff) {
  std::uint16_t orientation = 0;
  if (TIFFGetField(tiff, TIFFTAG_ORIENTATION, &orientation)) return orientation;
  std::uint32_t n_bytes = 0;
  void* packet = nullptr;
  if (!TIFFGetField(tiff, TIFFTAG_XMLPACKET, &n_bytes, &packet) || !packet) return 0;
  return xmp_orientation({static_cast<const char*>(packet), n_bytes});
}

}  // namespace

Decoded decode_tiff(const DecodeJob& job) {
  TiffState state{job.data(), job.size()};
  const Tiff tiff = open_tiff(state);
  if (!tiff) fail_tiff(job, state, "the directory cannot be read");
  TiffLayout layout = read_layout(job, state, tiff.get());
  std::uint16_t compression = COMPRESSION_NONE;
  TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_COMPRESSION, &compression);
  if (!TIFFIsCODECConfigured(compression))
    fail_unsupported(job, fmt::format("compression {}", compression));
  bool read_as_rgba = false;
  if (layout.color == TiffColor::ycbcr) {
    std::uint16_t sub_x = 2, sub_y = 2;
    TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_YCBCRSUBSAMPLING, &sub_x, &sub_y);
    if (compression == COMPRESSION_JPEG && !layout.separate) {
      TIFFSetField(tiff.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
      layout.color = TiffColor::rgb;
    } else {
      read_as_rgba = compression != COMPRESSION_NONE || layout.separate || sub_x != 1 || sub_y != 1;
    }
  }
  state.message[0] = '\0';  // complaints about tags that do not matter
  Decoded out{read_as_rgba ? decode_as_rgba(job, state, tiff.get(), layout)
                           : decode_rows(job, state, tiff.get(), layout)};
  out.orientation = find_orientation(tiff.get());
  out.always_rotate = true;
  return out;
}

}  // namespace qwenvl
