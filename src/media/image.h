// Image: decoded pixels. No knowledge of any model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace qwenvl {

// 8-bit RGB, rows top to bottom, [height, width, 3] contiguous.
struct Image {
  int height = 0;
  int width = 0;
  std::vector<std::uint8_t> rgb;  // height * width * 3

  std::uint8_t* row(int y) { return rgb.data() + static_cast<std::size_t>(y) * width * 3; }
  const std::uint8_t* row(int y) const {
    return rgb.data() + static_cast<std::size_t>(y) * width * 3;
  }
};

// The same in float32, where the values need not be whole numbers or stay within 0 and 255.
struct FloatImage {
  int height = 0;
  int width = 0;
  std::vector<float> rgb;

  float* row(int y) { return rgb.data() + static_cast<std::size_t>(y) * width * 3; }
  const float* row(int y) const { return rgb.data() + static_cast<std::size_t>(y) * width * 3; }
};

// The two loaders of the reference read some files differently.
enum class Loader {
  qwen_vl_utils,  // no EXIF rotation; RGBA is blended onto white; other alpha is dropped
  hf,             // EXIF rotation; alpha dropped
};

struct DecodeLimits {
  std::int64_t max_pixels = 200'000'000;  // width * height, checked before memory is taken
  std::int64_t max_side_px = 65'535;
  std::size_t max_file_bytes = 512u << 20;
};

// What the bytes claim to be: "jpeg", "png", "webp", "gif", "bmp", "tiff"; "" when unknown.
std::string image_format(std::span<const std::byte> bytes);

// Bytes of any supported format → Image. GIF gives its first frame. Throws bad_file with `name` in
// front, e.g. "photo.jpg: …", and never allocates pixels for an image above the limits.
Image decode_image(std::span<const std::byte> bytes, const std::string& name, Loader loader,
                   const DecodeLimits& limits = {});

// PNG bytes of an image (for annotated pictures and tests).
std::vector<std::byte> encode_png(const Image& image);
// The file appears when it is whole (core/new_file.h).
void write_png(const Image& image, const std::string& path);

}  // namespace qwenvl
