// Reads the orientation tag and turns images by it.
// Before: a decoder has found the metadata block.   After: the picture stands upright.
// Mirrors Pillow's ImageOps.exif_transpose, including its fall-back to XMP.
#include "media/decoders/exif.h"

#include <algorithm>
#include <utility>

namespace qwenvl {
namespace {

constexpr int kOrientationTag = 274;
enum FieldType { kByte = 1, kShort = 3, kLong = 4 };

// Little- or big-endian reads that answer 0 outside the block.
struct EndianReader {
  std::span<const std::uint8_t> block;
  bool big_endian;

  std::uint32_t at(std::size_t offset, int n_bytes) const {
    if (offset > block.size() || block.size() - offset < static_cast<std::size_t>(n_bytes))
      return 0;
    std::uint32_t value = 0;
    for (int i = 0; i < n_bytes; ++i) {
      const int from = big_endian ? i : n_bytes - 1 - i;
      value = value << 8 | block[offset + from];
    }
    return value;
  }
};

// The value of one 12-byte entry if it is a single unsigned integer.
int single_value(const EndianReader& reader, std::size_t entry) {
  if (reader.at(entry + 4, 4) != 1) return 0;
  switch (reader.at(entry + 2, 2)) {
    case kByte: return static_cast<int>(reader.at(entry + 8, 1));
    case kShort: return static_cast<int>(reader.at(entry + 8, 2));
    case kLong: return static_cast<int>(std::min<std::uint32_t>(reader.at(entry + 8, 4), 1000));
    default: return 0;
  }
}

}  // namespace

int exif_orientation(std::span<const std::uint8_t> block) {
  constexpr std::string_view kPrefix("Exif\0\0", 6);
  for (int i = 0; i < 2; ++i) {  // some writers put the prefix twice
    if (block.size() >= 6 && std::equal(kPrefix.begin(), kPrefix.end(), block.begin())) {
      block = block.subspan(6);
    }
  }
  return tiff_integer(block, kOrientationTag);
}

int tiff_integer(std::span<const std::uint8_t> block, int tag) {
  if (block.size() < 8) return 0;
  const bool little = block[0] == 'I' && block[1] == 'I';
  const bool big = block[0] == 'M' && block[1] == 'M';
  if (!little && !big) return 0;
  const EndianReader reader{block, big};
  if (reader.at(2, 2) != 42) return 0;
  const std::size_t directory = reader.at(4, 4);
  const std::uint32_t n_entries = reader.at(directory, 2);
  int value = 0;
  for (std::uint32_t i = 0; i < n_entries; ++i) {
    const std::size_t entry = directory + 2 + std::size_t{12} * i;
    if (entry + 12 > block.size()) break;
    if (reader.at(entry, 2) == static_cast<std::uint32_t>(tag)) value = single_value(reader, entry);
  }
  return value;
}

int xmp_orientation(std::string_view packet) {
  constexpr std::string_view kKey = "tiff:Orientation";
  for (std::size_t at = packet.find(kKey); at != std::string_view::npos;
       at = packet.find(kKey, at + 1)) {
    std::string_view rest = packet.substr(at + kKey.size());
    if (rest.starts_with("=\"")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with(">")) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return rest[0] - '0';
  }
  return 0;
}

void apply_orientation(Image& image, int orientation) {
  if (orientation < 2 || orientation > 8) return;
  const bool transposed = orientation >= 5;
  Image turned;
  turned.width = transposed ? image.height : image.width;
  turned.height = transposed ? image.width : image.height;
  turned.rgb.resize(image.rgb.size());
  // Where the pixel (x, y) of the upright picture comes from in the stored one.
  const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  for (int y = 0; y < turned.height; ++y) {
    std::uint8_t* out = turned.row(y);
    for (int x = 0; x < turned.width; ++x, out += 3) {
      int from_x = transposed ? y : x;
      int from_y = transposed ? x : y;
      if (flip_x) from_x = image.width - 1 - from_x;
      if (flip_y) from_y = image.height - 1 - from_y;
      std::copy_n(image.row(from_y) + std::size_t{3} * from_x, 3, out);
    }
  }
  image = std::move(turned);
}

}  // namespace qwenvl
