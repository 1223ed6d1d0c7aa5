// PNG ↔ RGB rows with libpng: every bit depth and colour type, interlaced or not; and the writer.
// Before: image.cpp recognised the bytes.   After: exif.cpp may turn the picture.
// Mirrors Pillow's PNG plugin: tRNS colours and palette transparency do not count for RGB, 16-bit
// colour keeps its high byte, 16-bit grey is clipped at 255, 16-bit grey with alpha reads as RGBA.
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

#include "core/check.h"
#include "media/decoders/decoders.h"
#include "media/decoders/exif.h"

namespace qwenvl {
namespace {

constexpr std::size_t kSignatureBytes = 8;
constexpr std::size_t kMaxDeflateRatio = 1032;  // deflate cannot pack more than this into a byte
constexpr png_alloc_size_t kMaxChunkBytes = 1u << 20;

// Big-endian, only where the caller has checked that 4 bytes are there.
std::uint32_t read_u32(const std::uint8_t* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

// What we take from the chunk list ourselves.
struct PngChunks {
  std::uint64_t n_data_bytes = 0;  // IDAT bytes really in the file
  bool is_cut = false;             // the file ends inside an IDAT chunk
  int orientation = 0;
};

// The XMP packet of an uncompressed iTXt chunk, "" for any other text.
std::string_view xmp_of_text(std::string_view text) {
  constexpr std::string_view kKeyword("XML:com.adobe.xmp\0\0\0", 20);  // + not compressed, method 0
  if (!text.starts_with(kKeyword)) return {};
  text.remove_prefix(kKeyword.size());
  for (int i = 0; i < 2; ++i) {  // language and translated keyword
    const std::size_t end = text.find('\0');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text;
}

PngChunks walk_chunks(const DecodeJob& job) {
  PngChunks chunks;
  int from_exif = 0, from_xmp = 0;
  const std::uint8_t* data = job.data();
  for (std::size_t at = kSignatureBytes; at + 8 <= job.size();) {
    const std::size_t length = read_u32(data + at);
    const std::string_view type(reinterpret_cast<const char*>(data + at + 4), 4);
    const std::size_t available = std::min(length, job.size() - at - 8);
    if (type == "IDAT") {
      chunks.n_data_bytes += available;
      chunks.is_cut = available < length;
    }
    if (type == "eXIf") from_exif = exif_orientation({data + at + 8, available});
    if (type == "iTXt" && from_xmp == 0) {
      from_xmp =
          xmp_orientation(xmp_of_text({reinterpret_cast<const char*>(data + at + 8), available}));
    }
    if (type == "IEND" || available < length) break;
    at += 12 + length;
  }
  chunks.orientation = from_exif != 0 ? from_exif : from_xmp;
  return chunks;
}

// libpng reports errors by longjmp: the functions that call setjmp hold no objects with
// destructors.
struct PngState {
  png_structp png = nullptr;
  png_infop info = nullptr;
  const std::uint8_t* data = nullptr;
  std::size_t n_left = 0;
  std::vector<std::byte>* written = nullptr;
  std::jmp_buf jump;
  char message[200] = "";
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  PngState& state = *static_cast<PngState*>(png_get_error_ptr(png));
  std::snprintf(state.message, sizeof state.message, "%s", message);
  std::longjmp(state.jump, 1);
}
void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, std::size_t n) {
  PngState& state = *static_cast<PngState*>(png_get_io_ptr(png));
  if (n > state.n_left)
    png_error(png, "the data ends before the picture is complete (truncated file)");
  std::memcpy(out, state.data, n);
  state.data += n;
  state.n_left -= n;
}

bool read_info(PngState& state, std::int64_t max_side_px, bool is_cut) {
  state.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
  if (!state.png) return false;
  if (setjmp(state.jump)) return false;
  state.info = png_create_info_struct(state.png);
  if (!state.info) return false;
  png_set_read_fn(state.png, &state, on_read);
  const auto max_side = static_cast<png_uint_32>(std::min<std::int64_t>(max_side_px, 0x7fffffff));
  png_set_user_limits(state.png, max_side, max_side);
  // Byte by byte, so that libpng does not stumble over the end of a cut file before it has used
  // what is there: all pixels may be.
  if (is_cut) png_set_compression_buffer_size(state.png, 1);
  png_set_chunk_malloc_max(state.png, kMaxChunkBytes);
  // Text, profiles and other side data are skipped unread, so their compression cannot be a bomb.
  png_set_keep_unknown_chunks(state.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_check_for_invalid_index(state.png, 0);
  png_read_info(state.png, state.info);
  return true;
}

bool start_rows(PngState& state, int* n_passes) {
  if (setjmp(state.jump)) return false;
  const int type = png_get_color_type(state.png, state.info);
  const int depth = png_get_bit_depth(state.png, state.info);
  if (type == PNG_COLOR_TYPE_PALETTE) png_set_packing(state.png);
  if (type == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(state.png);
  if (type != PNG_COLOR_TYPE_GRAY && depth == 16) png_set_strip_16(state.png);
  *n_passes = png_set_interlace_handling(state.png);
  png_read_update_info(state.png, state.info);
  return true;
}

// After the last row libpng reads on to the end of the stream. What is wrong there no longer
// concerns the pixels, and the reference does not look at it.
bool has_all_rows(const PngState& state) {
  if (png_get_interlace_type(state.png, state.info) != PNG_INTERLACE_NONE) {
    return png_get_current_pass_number(state.png) >= 7;
  }
  return png_get_current_row_number(state.png) >= png_get_image_height(state.png, state.info);
}

bool read_row(PngState& state, std::uint8_t* row) {
  if (setjmp(state.jump)) return has_all_rows(state);
  png_read_row(state.png, row, nullptr);
  return true;
}

class PngReader {
 public:
  explicit PngReader(const DecodeJob& job) : job_(job) {
    state_.data = job.data();
    state_.n_left = job.size();
  }
  ~PngReader() { png_destroy_read_struct(&state_.png, &state_.info, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  void open(bool is_cut) { check(read_info(state_, job_.limits.max_side_px, is_cut)); }
  int start() {
    int n_passes = 1;
    check(start_rows(state_, &n_passes));
    return n_passes;
  }
  void next_row(std::uint8_t* row) { check(read_row(state_, row)); }

  int color_type() const { return png_get_color_type(state_.png, state_.info); }
  int bit_depth() const { return png_get_bit_depth(state_.png, state_.info); }
  std::size_t row_bytes() const { return png_get_rowbytes(state_.png, state_.info); }
  void copy_palette(std::uint8_t (*palette)[3]) const {
    png_colorp colors = nullptr;
    int n_colors = 0;
    if (!png_get_PLTE(state_.png, state_.info, &colors, &n_colors)) return;
    for (int i = 0; i < std::min(n_colors, 256); ++i) {
      palette[i][0] = colors[i].red;
      palette[i][1] = colors[i].green;
      palette[i][2] = colors[i].blue;
    }
  }

 private:
  void check(bool ok) const {
    if (!ok) fail_damaged(job_, state_.message[0] ? state_.message : "libpng could not start");
  }

  const DecodeJob& job_;
  PngState state_;
};

// What a file row holds, after libpng's transformations.
struct RowKind {
  int color_type;
  int depth;  // of the file
  std::uint8_t palette[256][3];
};

void convert_row(std::uint8_t* rgb, const std::uint8_t* row, int n, const RowKind& kind,
                 Loader loader) {
  switch (kind.color_type) {
    case PNG_COLOR_TYPE_PALETTE: return rgb_from_palette(rgb, row, n, kind.palette);
    case PNG_COLOR_TYPE_RGB: std::memcpy(rgb, row, std::size_t{3} * n); return;
    case PNG_COLOR_TYPE_RGB_ALPHA: return rgb_from_rgba(rgb, row, n, loader);
    case PNG_COLOR_TYPE_GRAY:
      if (kind.depth < 16) return rgb_from_gray(rgb, row, n);
      for (int i = 0; i < n; ++i, row += 2, rgb += 3) {
        rgb[0] = rgb[1] = rgb[2] = clip_gray16(std::uint32_t{row[0]} << 8 | row[1]);
      }
      return;
    default: break;
  }
  if (kind.depth < 16) return rgb_from_gray(rgb, row, n, 2);  // "LA": alpha is dropped
  for (int i = 0; i < n; ++i, row += 2, rgb += 3) {           // 16-bit LA reads as RGBA
    const std::uint8_t rgba[4] = {row[0], row[0], row[0], row[1]};
    rgb_from_rgba(rgb, rgba, 1, loader);
  }
}

// The size from the IHDR chunk, which must come first.
void check_header(const DecodeJob& job) {
  const std::uint8_t* data = job.data();
  if (job.size() < 33) fail_damaged(job, "the data ends inside the header (truncated file)");
  if (std::memcmp(data + 12, "IHDR", 4) != 0) fail_damaged(job, "the first chunk is not IHDR");
  check_image_size(job, read_u32(data + 16), read_u32(data + 20));
}

void check_data_size(const DecodeJob& job, const PngChunks& chunks, std::uint64_t n_raw_bytes) {
  if (n_raw_bytes / kMaxDeflateRatio > chunks.n_data_bytes + 64) {
    fail_damaged(
        job, fmt::format("{} bytes of image data cannot hold {} bytes of pixels (truncated file)",
                         chunks.n_data_bytes, n_raw_bytes));
  }
}

bool write_rows(PngState& state, const Image& image) {
  if (setjmp(state.jump)) return false;
  png_set_IHDR(state.png, state.info, static_cast<png_uint_32>(image.width),
               static_cast<png_uint_32>(image.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(state.png, state.info);
  for (int y = 0; y < image.height; ++y) png_write_row(state.png, image.row(y));
  png_write_end(state.png, nullptr);
  return true;
}

// No exception may leave through libpng's frames.
void on_write(png_structp png, png_bytep bytes, std::size_t n) {
  bool stored = true;
  try {
    auto& out = *static_cast<PngState*>(png_get_io_ptr(png))->written;
    const auto* first = reinterpret_cast<const std::byte*>(bytes);
    out.insert(out.end(), first, first + n);
  } catch (const std::bad_alloc&) {
    stored = false;
  }
  if (!stored) png_error(png, "out of memory");
}
void on_flush(png_structp) {}

}  // namespace

Decoded decode_png(const DecodeJob& job) {
  check_header(job);
  const PngChunks chunks = walk_chunks(job);
  PngReader reader(job);
  reader.open(chunks.is_cut);
  RowKind kind{reader.color_type(), reader.bit_depth(), {}};
  reader.copy_palette(kind.palette);
  const int n_passes = reader.start();
  const int width = static_cast<int>(read_u32(job.data() + 16));
  const int height = static_cast<int>(read_u32(job.data() + 20));
  const std::size_t row_bytes = reader.row_bytes();
  const std::uint64_t file_row_bytes = row_bytes / (kind.depth < 8 ? 8 / kind.depth : 1);
  check_data_size(job, chunks, file_row_bytes * static_cast<std::uint64_t>(height));

  Decoded out{reserve_image(width, height)};
  out.orientation = chunks.orientation;
  // An interlaced picture comes in seven passes over all rows, so those must be kept.
  const std::size_t n_kept_rows = n_passes > 1 ? static_cast<std::size_t>(height) : 1;
  std::vector<std::uint8_t> rows(row_bytes * n_kept_rows);
  for (int pass = 0; pass < n_passes - 1; ++pass) {
    for (int y = 0; y < height; ++y) reader.next_row(rows.data() + row_bytes * y);
  }
  for (int y = 0; y < height; ++y) {
    std::uint8_t* row = rows.data() + (n_passes > 1 ? row_bytes * y : 0);
    reader.next_row(row);
    convert_row(append_row(out.image), row, width, kind, job.loader);
  }
  return out;
}

std::vector<std::byte> encode_png(const Image& image) {
  std::vector<std::byte> bytes;
  PngState state;
  state.written = &bytes;
  state.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
  state.info = state.png ? png_create_info_struct(state.png) : nullptr;
  bool ok = state.info != nullptr;
  if (ok) {
    png_set_write_fn(state.png, &state, on_write, on_flush);
    ok = write_rows(state, image);
  }
  png_destroy_write_struct(&state.png, &state.info);
  if (!ok) {
    fail(ErrorKind::out_of_memory, "PNG writer: {} x {} pixels could not be encoded: {}",
         image.width, image.height, state.message[0] ? state.message : "libpng could not start");
  }
  return bytes;
}

}  // namespace qwenvl
