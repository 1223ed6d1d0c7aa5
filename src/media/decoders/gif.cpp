// The first frame of a GIF → RGB with giflib.
// Before: image.cpp recognised the bytes.   After: nothing; GIF carries no orientation.
// Mirrors Pillow's GIF plugin for frame 0: the canvas grows to hold the frame, what the frame does
// not cover has the transparent index if there is one and index 0 otherwise, a palette that is a
// plain grey ramp counts as none, and transparency itself is dropped by the conversion to RGB.
#include <gif_lib.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "core/check.h"
#include "media/decoders/decoders.h"

namespace qwenvl {
namespace {

struct MemorySource {
  const std::uint8_t* data;
  std::size_t n_left;
};

int on_read(GifFileType* gif, GifByteType* out, int n) {
  MemorySource& source = *static_cast<MemorySource*>(gif->UserData);
  const std::size_t n_read = std::min(static_cast<std::size_t>(std::max(n, 0)), source.n_left);
  std::memcpy(out, source.data, n_read);
  source.data += n_read;
  source.n_left -= n_read;
  return static_cast<int>(n_read);
}

struct GifDeleter {
  void operator()(GifFileType* gif) const {
    int error = 0;
    DGifCloseFile(gif, &error);
  }
};
using Gif = std::unique_ptr<GifFileType, GifDeleter>;

[[noreturn]] void fail_gif(const DecodeJob& job, int code) {
  switch (code) {
    case 0:  // giflib forgets to say so in places
    case D_GIF_ERR_READ_FAILED:
    case D_GIF_ERR_EOF_TOO_SOON:
      fail_damaged(job, "the data ends before the picture is complete (truncated file)");
    case D_GIF_ERR_NOT_ENOUGH_MEM: fail_damaged(job, "a table in the file is too large");
    default: break;
  }
  const char* text = GifErrorString(code);
  fail_damaged(job, text ? text : "it cannot be decoded");
}

// Reads up to the first image; returns the transparent index or -1.
int seek_first_image(const DecodeJob& job, GifFileType* gif) {
  int transparent = -1;
  for (;;) {
    GifRecordType type;
    if (DGifGetRecordType(gif, &type) == GIF_ERROR) fail_gif(job, gif->Error);
    if (type == TERMINATE_RECORD_TYPE)
      fail_damaged(job, "it holds no image, expected at least one frame");
    if (type == IMAGE_DESC_RECORD_TYPE) return transparent;
    if (type != EXTENSION_RECORD_TYPE) continue;
    int code = 0;
    GifByteType* block = nullptr;
    if (DGifGetExtension(gif, &code, &block) == GIF_ERROR) fail_gif(job, gif->Error);
    if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4 && (block[1] & 1))
      transparent = block[4];
    while (block) {
      if (DGifGetExtensionNext(gif, &block) == GIF_ERROR) fail_gif(job, gif->Error);
    }
  }
}

bool is_gray_ramp(const ColorMapObject& map) {
  for (int i = 0; i < map.ColorCount; ++i) {
    const GifColorType& color = map.Colors[i];
    if (color.Red != i || color.Green != i || color.Blue != i) return false;
  }
  return true;
}

struct Palette {
  std::uint8_t rgb[256][3];
};

Palette palette_of(const GifFileType* gif) {
  const ColorMapObject* map = gif->Image.ColorMap ? gif->Image.ColorMap : gif->SColorMap;
  Palette palette{};
  const bool is_gray = !map || is_gray_ramp(*map);
  for (int i = 0; i < 256; ++i) {
    if (is_gray) {
      std::fill_n(palette.rgb[i], 3, static_cast<std::uint8_t>(i));
    } else if (i < map->ColorCount) {
      const GifColorType& color = map->Colors[i];
      palette.rgb[i][0] = color.Red;
      palette.rgb[i][1] = color.Green;
      palette.rgb[i][2] = color.Blue;
    }
  }
  return palette;
}

// The order in which rows are stored: one pass, or the four passes of an interlaced frame.
std::vector<int> row_order(int height, bool interlaced) {
  std::vector<int> order;
  order.reserve(static_cast<std::size_t>(height));
  if (!interlaced) {
    for (int y = 0; y < height; ++y) order.push_back(y);
    return order;
  }
  constexpr int kStart[4] = {0, 4, 2, 1}, kStep[4] = {8, 8, 4, 2};
  for (int pass = 0; pass < 4; ++pass) {
    for (int y = kStart[pass]; y < height; y += kStep[pass]) order.push_back(y);
  }
  return order;
}

}  // namespace

Decoded decode_gif(const DecodeJob& job) {
  MemorySource source{job.data(), job.size()};
  int error = 0;
  const Gif gif(DGifOpen(&source, on_read, &error));
  if (!gif) fail_gif(job, error);
  check_image_size(job, gif->SWidth, gif->SHeight);
  const int transparent = seek_first_image(job, gif.get());
  if (DGifGetImageDesc(gif.get()) == GIF_ERROR) fail_gif(job, gif->Error);
  const GifImageDesc& frame = gif->Image;
  if (frame.Width <= 0 || frame.Height <= 0 || frame.Left < 0 || frame.Top < 0) {
    fail_damaged(job, fmt::format("the first frame is {} x {} pixels, expected at least 1 x 1",
                                  frame.Width, frame.Height));
  }
  const int width = std::max(gif->SWidth, frame.Left + frame.Width);
  const int height = std::max(gif->SHeight, frame.Top + frame.Height);
  check_image_size(job, width, height);
  const Palette palette = palette_of(gif.get());

  // The frame first, one byte a pixel and only as far as the file has data; then the canvas.
  std::vector<std::uint8_t> indices;
  const std::size_t frame_width = static_cast<std::size_t>(frame.Width);
  indices.reserve(frame_width * frame.Height);
  for (int i = 0; i < frame.Height; ++i) {
    indices.resize(indices.size() + frame_width);
    if (DGifGetLine(gif.get(), indices.data() + frame_width * i, frame.Width) == GIF_ERROR) {
      fail_gif(job, gif->Error);
    }
  }
  Decoded out{reserve_image(width, height)};
  const std::vector<std::uint8_t> background(width,
                                             static_cast<std::uint8_t>(std::max(transparent, 0)));
  for (int y = 0; y < height; ++y) {
    rgb_from_palette(append_row(out.image), background.data(), width, palette.rgb);
  }
  const std::vector<int> order = row_order(frame.Height, frame.Interlace);
  for (int i = 0; i < frame.Height; ++i) {
    rgb_from_palette(out.image.row(frame.Top + order[i]) + 3 * frame.Left,
                     indices.data() + frame_width * i, frame.Width, palette.rgb);
  }
  return out;
}

}  // namespace qwenvl
