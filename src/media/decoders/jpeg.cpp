// JPEG → RGB rows with libjpeg-turbo: baseline, progressive, grey, CMYK and YCCK.
// Before: image.cpp recognised the bytes.   After: exif.cpp may turn the picture.
// Mirrors Pillow's JPEG plugin: slow-integer DCT, fancy upsampling, CMYK taken as Adobe-inverted,
// damaged entropy data tolerated as libjpeg tolerates it, missing data refused.
// clang-format off
#include <csetjmp>
#include <cstdio>  // jpeglib.h needs FILE and size_t declared before it
#include <cstring>
#include <string_view>
#include <vector>

#include <jpeglib.h>
// clang-format on

#include "core/check.h"
#include "media/decoders/decoders.h"
#include "media/decoders/exif.h"

namespace qwenvl {
namespace {

// A progressive file may repeat scans without end; ours are bounded in number and in work.
constexpr int kMaxScans = 500;
constexpr std::int64_t kMaxScannedPixels = 8'000'000'000;

constexpr const char* kTruncated = "the data ends before the picture is complete (truncated file)";

// libjpeg reports errors by longjmp. All its state lives here; the functions that call setjmp hold
// no objects with destructors, so nothing is skipped by a jump.
struct JpegState {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  jpeg_source_mgr source;
  jpeg_progress_mgr progress;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void raise_error(JpegState& state, const char* message) {
  std::snprintf(state.message, sizeof state.message, "%s", message);
  std::longjmp(state.jump, 1);
}

JpegState& state_of(j_common_ptr info) { return *static_cast<JpegState*>(info->client_data); }

void on_error(j_common_ptr info) {
  JpegState& state = state_of(info);
  info->err->format_message(info, state.message);
  std::longjmp(state.jump, 1);
}

void on_message(j_common_ptr) {}
void on_warning(j_common_ptr info, int level) {
  if (level < 0) ++info->err->num_warnings;
}
void on_source_start(j_decompress_ptr) {}
boolean on_source_empty(j_decompress_ptr info) {
  raise_error(state_of(reinterpret_cast<j_common_ptr>(info)), kTruncated);
}
void on_source_skip(j_decompress_ptr info, long n_bytes) {
  if (n_bytes <= 0) return;
  if (static_cast<unsigned long>(n_bytes) > info->src->bytes_in_buffer) on_source_empty(info);
  info->src->next_input_byte += n_bytes;
  info->src->bytes_in_buffer -= static_cast<std::size_t>(n_bytes);
}

void on_progress(j_common_ptr common) {
  JpegState& state = state_of(common);
  const jpeg_decompress_struct& info = state.info;
  const std::int64_t pixels = std::int64_t{info.image_width} * info.image_height;
  if (info.input_scan_number > kMaxScans || info.input_scan_number * pixels > kMaxScannedPixels) {
    raise_error(state, "too many progressive scans for a picture of this size");
  }
}

bool read_header(JpegState& state, const std::uint8_t* data, std::size_t size) {
  state.info.err = jpeg_std_error(&state.errors);
  state.errors.error_exit = on_error;
  state.errors.output_message = on_message;
  state.errors.emit_message = on_warning;
  state.info.client_data = &state;
  if (setjmp(state.jump)) return false;
  jpeg_create_decompress(&state.info);
  state.source = {};
  state.source.next_input_byte = data;
  state.source.bytes_in_buffer = size;
  state.source.init_source = on_source_start;
  state.source.fill_input_buffer = on_source_empty;
  state.source.skip_input_data = on_source_skip;
  state.source.resync_to_restart = jpeg_resync_to_restart;
  state.source.term_source = on_source_start;
  state.info.src = &state.source;
  jpeg_read_header(&state.info, TRUE);
  return true;
}

bool start(JpegState& state, J_COLOR_SPACE out) {
  if (setjmp(state.jump)) return false;
  state.info.out_color_space = out;
  state.progress.progress_monitor = on_progress;
  state.info.progress = &state.progress;
  jpeg_start_decompress(&state.info);
  return true;
}

bool read_row(JpegState& state, std::uint8_t* row) {
  if (setjmp(state.jump)) return false;
  JSAMPROW rows[1] = {row};
  if (jpeg_read_scanlines(&state.info, rows, 1) != 1) raise_error(state, kTruncated);
  return true;
}

// Owns the decompressor.
class JpegReader {
 public:
  explicit JpegReader(const DecodeJob& job) : job_(job) {
    std::memset(&state_, 0, sizeof state_);
    try {
      check(read_header(state_, job.data(), job.size()));
    } catch (...) {  // a constructor that throws runs no destructor
      jpeg_destroy_decompress(&state_.info);
      throw;
    }
  }
  ~JpegReader() { jpeg_destroy_decompress(&state_.info); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  const jpeg_decompress_struct& info() const { return state_.info; }
  void start_rows(J_COLOR_SPACE out) { check(start(state_, out)); }
  void next_row(std::uint8_t* row) { check(read_row(state_, row)); }

 private:
  void check(bool ok) const {
    if (!ok) fail_damaged(job_, state_.message);
  }

  const DecodeJob& job_;
  JpegState state_;
};

// The orientation from the APP1 segments before the first scan. Several EXIF segments continue
// each other.
int find_orientation(const DecodeJob& job) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  constexpr std::string_view kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
  std::vector<std::uint8_t> exif;
  std::string_view xmp;
  const std::string_view all(reinterpret_cast<const char*>(job.data()), job.size());
  for (std::size_t at = 2; at + 4 <= all.size();) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(all[i]); };
    if (byte(at) != 0xff || byte(at + 1) == 0xff || byte(at + 1) == 0) {
      ++at;
      continue;
    }
    const int marker = byte(at + 1);
    if (marker == 0xda || marker == 0xd9) break;
    if (marker == 0xd8 || (marker >= 0xd0 && marker <= 0xd7) || marker == 0x01) {
      at += 2;
      continue;
    }
    const std::size_t length = std::size_t{byte(at + 2)} << 8 | byte(at + 3);
    if (length < 2) break;
    const std::string_view segment = all.substr(at + 4, length - 2);
    if (marker == 0xe1 && segment.starts_with(kExif)) {
      exif.insert(exif.end(), segment.begin() + (exif.empty() ? 0 : 6), segment.end());
    } else if (marker == 0xe1 && segment.starts_with(kXmp)) {
      xmp = segment.substr(kXmp.size());
    }
    at += 2 + length;
  }
  const int orientation = exif_orientation(exif);
  return orientation != 0 ? orientation : xmp_orientation(xmp);
}

// Huffman coding spends at least a bit on each block of 8 x 8 pixels. What cannot hold that is a
// forged or cut header, which libjpeg would answer with a grey picture of any size.
void check_data_size(const DecodeJob& job, const jpeg_decompress_struct& info) {
  const std::uint64_t n_blocks =
      (std::uint64_t{info.image_width} + 7) / 8 * ((info.image_height + 7) / 8);
  if (!info.arith_code && n_blocks / 8 > job.size()) {
    fail_damaged(job, fmt::format("{} bytes cannot hold {} x {} pixels (truncated file)",
                                  job.size(), info.image_width, info.image_height));
  }
}

}  // namespace

Decoded decode_jpeg(const DecodeJob& job) {
  JpegReader reader(job);
  const jpeg_decompress_struct& info = reader.info();
  check_image_size(job, info.image_width, info.image_height);
  const int n_components = info.num_components;
  if (n_components != 1 && n_components != 3 && n_components != 4) {
    fail_unsupported(job, fmt::format("{} colour components", n_components));
  }
  check_data_size(job, info);
  reader.start_rows(n_components == 1 ? JCS_GRAYSCALE : n_components == 3 ? JCS_RGB : JCS_CMYK);
  Decoded out{reserve_image(info.output_width, info.output_height)};
  const int width = out.image.width;
  std::vector<std::uint8_t> samples(static_cast<std::size_t>(width) * n_components);
  for (int y = 0; y < out.image.height; ++y) {
    reader.next_row(samples.data());
    std::uint8_t* rgb = append_row(out.image);
    if (n_components == 1) {
      rgb_from_gray(rgb, samples.data(), width);
    } else if (n_components == 3) {
      std::memcpy(rgb, samples.data(), samples.size());
    } else {
      rgb_from_cmyk(rgb, samples.data(), width, true);
    }
  }
  out.orientation = find_orientation(job);
  return out;
}

}  // namespace qwenvl
