// The first page of a TIFF → RGB with libtiff: strips and tiles, planes together or apart, every
// compression the library was built with.
// Before: image.cpp recognised the bytes.   After: exif.cpp turns the picture, for both loaders.
// Mirrors Pillow's TIFF plugin: which sample layouts are readable, premultiplied alpha divided out,
// 16-bit colour keeps its high byte, wide grey is clipped at 255, orientation applied while loading.
#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "core/check.h"
#include "media/decoders.h"
#include "media/exif.h"

namespace qwenvl {
namespace {

constexpr tmsize_t kMaxSingleAllocation = tmsize_t{256} << 20;
constexpr std::uint32_t kMaxSamples = 6;
constexpr std::uint16_t kCorelAlpha = 999;

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
  state.at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? state.at + offset : state.size + offset;
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
  Tiff tiff(TIFFClientOpenExt("TIFF", "r", &state, on_read, on_write, on_seek, on_close, on_size, on_map,
                              on_unmap, options));
  TIFFOpenOptionsFree(options);
  return tiff;
}

[[noreturn]] void fail_tiff(const DecodeJob& job, const TiffState& state, const char* otherwise) {
  fail_damaged(job, state.message[0] ? state.message : otherwise);
}

// How a page stores its samples.
struct Layout {
  std::uint32_t width = 0, height = 0;
  std::uint16_t bits = 1, n_samples = 1, format = SAMPLEFORMAT_UINT;
  std::uint16_t photometric = PHOTOMETRIC_MINISWHITE, compression = COMPRESSION_NONE;
  bool separate = false;
  std::uint16_t n_extra = 0;
  const std::uint16_t* extra = nullptr;

  int n_color() const {
    switch (photometric) {
      case PHOTOMETRIC_RGB:
      case PHOTOMETRIC_YCBCR: return 3;
      case PHOTOMETRIC_SEPARATED: return 4;
      default: return 1;
    }
  }
  // The meaning of the first extra sample; a missing note means alpha, as the reference has it.
  std::uint16_t first_extra() const { return n_extra > 0 ? extra[0] : EXTRASAMPLE_UNASSALPHA; }
  bool has_alpha() const {
    return photometric == PHOTOMETRIC_RGB && n_samples > 3 && first_extra() != EXTRASAMPLE_UNSPECIFIED;
  }
  bool is_premultiplied() const { return has_alpha() && first_extra() == EXTRASAMPLE_ASSOCALPHA; }
  // Samples a pixel that the conversion looks at.
  int n_used() const { return has_alpha() ? 4 : n_color(); }
};

Layout read_layout(const DecodeJob& job, const TiffState& state, TIFF* tiff) {
  Layout layout;
  if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &layout.width) ||
      !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &layout.height)) {
    fail_tiff(job, state, "the size is missing");
  }
  check_image_size(job, layout.width, layout.height);
  std::uint16_t planes = PLANARCONFIG_CONTIG;
  std::uint16_t* extra = nullptr;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &layout.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &layout.n_samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &layout.format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &layout.compression);
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &layout.photometric);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planes);
  if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &layout.n_extra, &extra)) layout.extra = extra;
  if (!layout.extra) layout.n_extra = 0;
  layout.separate = planes == PLANARCONFIG_SEPARATE && layout.n_samples > 1;
  return layout;
}

// Refuses what the reference cannot read either, before any row is decoded.
void check_layout(const DecodeJob& job, const Layout& layout) {
  const auto refuse = [&] {
    fail_unsupported(job, fmt::format("colour space {}, {} samples of {} bits, sample format {}",
                                      layout.photometric, layout.n_samples, layout.bits, layout.format));
  };
  if (layout.n_samples > kMaxSamples || layout.n_samples < layout.n_color()) refuse();
  const std::uint16_t bits = layout.bits;
  const bool is_plain = layout.format == SAMPLEFORMAT_UINT;
  switch (layout.photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
      if (layout.n_samples > 2 || (layout.n_samples == 2 && bits != 8)) refuse();
      if (bits == 32 || bits == 16 || bits == 8) return;
      if (!is_plain || (bits != 1 && bits != 2 && bits != 4)) refuse();
      return;
    case PHOTOMETRIC_PALETTE:
      if (!is_plain || (bits != 1 && bits != 2 && bits != 4 && bits != 8)) refuse();
      if (layout.n_samples > 2 || (layout.n_samples == 2 && bits != 8)) refuse();
      return;
    case PHOTOMETRIC_RGB:
    case PHOTOMETRIC_SEPARATED:
      if (!is_plain || (bits != 8 && bits != 16)) refuse();
      return;
    case PHOTOMETRIC_YCBCR:
      if (!is_plain || bits != 8 || layout.n_samples != 3) refuse();
      return;
    default: refuse();
  }
}

struct Palette {
  std::uint8_t rgb[256][3];
};

Palette read_palette(const DecodeJob& job, TIFF* tiff, const Layout& layout) {
  Palette palette{};
  std::uint16_t *red = nullptr, *green = nullptr, *blue = nullptr;
  if (!TIFFGetField(tiff, TIFFTAG_COLORMAP, &red, &green, &blue)) fail_damaged(job, "the palette is missing");
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
  RowSource(const DecodeJob& job, const TiffState& state, TIFF* tiff, const Layout& layout)
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
      if (TIFFReadScanline(tiff_, buffer_.data(), y, plane) < 0) fail_tiff(job_, state_, "a row cannot be read");
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
      fail_damaged(job_, fmt::format("tiles of {} x {} pixels ({} bytes)", tile_width, tile_height_, tile_bytes));
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
      if (TIFFReadTile(tiff_, tile_.data(), x, y, 0, plane) < 0) fail_tiff(job_, state_, "a tile cannot be read");
      for (std::uint32_t i = 0; i < n_rows; ++i) {
        std::memcpy(buffer_.data() + band_row_bytes_ * i + offset, tile_.data() + tile_row_bytes_ * i,
                    tile_row_bytes_);
      }
      if (layout_.width - x <= tile_width_) break;  // x + tile_width_ may not fit 32 bits
    }
  }

  const DecodeJob& job_;
  const TiffState& state_;
  TIFF* tiff_;
  const Layout& layout_;
  std::uint64_t row_bytes_ = 0;
  std::uint32_t tile_width_ = 0, tile_height_ = 0;
  std::size_t tile_row_bytes_ = 0, band_row_bytes_ = 0;
  std::vector<std::uint8_t> tile_, buffer_;
};

template <class T>
T load(const std::uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// Grey wider than a byte, clipped to 0..255 as the reference does. libtiff gives native byte order.
std::uint8_t clip_wide(const std::uint8_t* sample, const Layout& layout) {
  if (layout.bits == 16) {
    if (layout.format != SAMPLEFORMAT_INT) return clip_gray16(load<std::uint16_t>(sample));
    return static_cast<std::uint8_t>(std::clamp<int>(load<std::int16_t>(sample), 0, 255));
  }
  if (layout.format == SAMPLEFORMAT_IEEEFP) {
    const float value = load<float>(sample);
    return value >= 255.0f ? 255 : value > 0.0f ? static_cast<std::uint8_t>(value) : 0;
  }
  return static_cast<std::uint8_t>(std::clamp(load<std::int32_t>(sample), 0, 255));
}

// One row of the file → 8-bit samples; grey is scaled to the full range, palette indices are not.
void unpack_row(std::uint8_t* out, const std::uint8_t* row, std::size_t n, const Layout& layout) {
  const bool is_gray = layout.photometric <= PHOTOMETRIC_MINISBLACK;
  const std::size_t n_bytes = layout.bits / 8;
  if (layout.bits < 8) {
    const std::uint32_t mask = (1u << layout.bits) - 1, scale = is_gray ? 255 / mask : 1;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t bit = i * layout.bits;
      out[i] = static_cast<std::uint8_t>((row[bit / 8] >> (8 - layout.bits - bit % 8) & mask) * scale);
    }
  } else if (layout.bits == 8) {
    std::memcpy(out, row, n);
  } else if (is_gray) {
    for (std::size_t i = 0; i < n; ++i) out[i] = clip_wide(row + n_bytes * i, layout);
  } else {
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint8_t>(load<std::uint16_t>(row + 2 * i) >> 8);
  }
  if (layout.photometric == PHOTOMETRIC_MINISWHITE && layout.bits <= 8) {
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint8_t>(255 - out[i]);
  }
}

// Premultiplied colour back to plain colour, as the reference unpacks it.
void divide_alpha(std::uint8_t* rgba) {
  const int alpha = rgba[3];
  if (alpha == 255) return;
  for (int c = 0; c < 3; ++c) {
    rgba[c] = alpha == 0 ? 0 : static_cast<std::uint8_t>(std::min(rgba[c] * 255 / alpha, 255));
  }
}

// One row of 8-bit samples, `step` apart → RGB.
void convert_row(std::uint8_t* rgb, std::uint8_t* samples, int n, int step, const Layout& layout,
                 const Palette& palette, Loader loader) {
  for (int x = 0; x < n; ++x, samples += step, rgb += 3) {
    switch (layout.photometric) {
      case PHOTOMETRIC_PALETTE: rgb_from_palette(rgb, samples, 1, palette.rgb); break;
      case PHOTOMETRIC_SEPARATED: rgb_from_cmyk(rgb, samples, 1, false); break;
      case PHOTOMETRIC_YCBCR: rgb_from_ycbcr(rgb, samples, 1); break;
      case PHOTOMETRIC_RGB:
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

Image decode_rows(const DecodeJob& job, const TiffState& state, TIFF* tiff, const Layout& layout) {
  const Palette palette =
      layout.photometric == PHOTOMETRIC_PALETTE ? read_palette(job, tiff, layout) : Palette{};
  RowSource source(job, state, tiff, layout);
  Image image = reserve_image(layout.width, layout.height);
  const int width = image.width;
  if (!layout.separate) {
    std::vector<std::uint8_t> samples(std::size_t{layout.width} * layout.n_samples);
    for (std::uint32_t y = 0; y < layout.height; ++y) {
      unpack_row(samples.data(), source.row(y, 0), samples.size(), layout);
      convert_row(append_row(image), samples.data(), width, layout.n_samples, layout, palette, job.loader);
    }
    return image;
  }
  // Planes one after the other: all samples must be kept until the last plane has come.
  const std::size_t step = static_cast<std::size_t>(layout.n_used());
  std::vector<std::uint8_t> samples, plane_row(layout.width);
  samples.resize(step * layout.width * layout.height);
  for (std::size_t plane = 0; plane < step; ++plane) {
    for (std::uint32_t y = 0; y < layout.height; ++y) {
      unpack_row(plane_row.data(), source.row(y, static_cast<std::uint16_t>(plane)), layout.width, layout);
      std::uint8_t* out = samples.data() + step * layout.width * y + plane;
      for (std::uint32_t x = 0; x < layout.width; ++x) out[step * x] = plane_row[x];
    }
  }
  for (std::uint32_t y = 0; y < layout.height; ++y) {
    convert_row(append_row(image), samples.data() + step * layout.width * y, width, static_cast<int>(step),
                layout, palette, job.loader);
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
Image decode_as_rgba(const DecodeJob& job, const TiffState& state, TIFF* tiff, const Layout& layout) {
  char message[1024] = "";
  RgbaReader reader;
  reader.is_open = TIFFRGBAImageOK(tiff, message) && TIFFRGBAImageBegin(&reader.image, tiff, 0, message);
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
      const auto* rgba = reinterpret_cast<const std::uint8_t*>(block.data() + std::size_t{layout.width} * i);
      rgb_from_rgbx(append_row(image), rgba, image.width);
    }
  }
  if (state.message[0]) fail_tiff(job, state, "");  // the RGBA reader goes on after errors; we do not
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
  Layout layout = read_layout(job, state, tiff.get());
  check_layout(job, layout);
  if (!TIFFIsCODECConfigured(layout.compression)) {
    fail_unsupported(job, fmt::format("compression {}", layout.compression));
  }
  bool read_as_rgba = false;
  if (layout.photometric == PHOTOMETRIC_YCBCR) {
    std::uint16_t sub_x = 2, sub_y = 2;
    TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_YCBCRSUBSAMPLING, &sub_x, &sub_y);
    if (layout.compression == COMPRESSION_JPEG && !layout.separate) {
      TIFFSetField(tiff.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
      layout.photometric = PHOTOMETRIC_RGB;
    } else {
      read_as_rgba = layout.compression != COMPRESSION_NONE || layout.separate || sub_x != 1 || sub_y != 1;
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
