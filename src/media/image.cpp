// Bytes → Image: recognise the format, keep the limits, decode, turn by EXIF.
// Before: source.cpp has fetched the bytes.   After: the model's preprocess resizes the pixels.
// Mirrors the two image loaders of the reference: that of qwen-vl-utils and that of the HF
// processor.
#include "media/image.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "core/check.h"
#include "core/new_file.h"
#include "media/decoders/decoders.h"
#include "media/decoders/exif.h"

namespace qwenvl {
namespace {

struct Format {
  const char* id;    // what image_format() answers
  const char* name;  // what messages say
  Decoded (*decode)(const DecodeJob&);
};

constexpr Format kFormats[] = {
    {"jpeg", "JPEG", decode_jpeg}, {"png", "PNG", decode_png}, {"webp", "WebP", decode_webp},
    {"gif", "GIF", decode_gif},    {"bmp", "BMP", decode_bmp}, {"tiff", "TIFF", decode_tiff},
};

const Format* find_format(std::string_view id) {
  const auto* found = std::find_if(std::begin(kFormats), std::end(kFormats),
                                   [&](const Format& format) { return format.id == id; });
  return found == std::end(kFormats) ? nullptr : found;
}

bool is_text(std::string_view bytes) {
  bytes = bytes.substr(0, 64);
  return std::all_of(bytes.begin(), bytes.end(), [](char c) {
    return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r' || c == '\t';
  });
}

[[noreturn]] void fail_unknown(std::string_view bytes, const std::string& name) {
  std::string start = "text beginning " + quoted(bytes.substr(0, 24));
  if (!is_text(bytes)) {
    start = "bytes beginning";
    for (unsigned char byte : bytes.substr(0, 8)) start += fmt::format(" {:02x}", byte);
  }
  fail(ErrorKind::bad_file,
       "{}: not an image: found {}, expected JPEG, PNG, WebP, GIF, BMP or TIFF", name, start);
}

}  // namespace

std::string image_format(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 16));
  if (text.starts_with("\xff\xd8\xff")) return "jpeg";
  if (text.starts_with("\x89PNG\r\n\x1a\n")) return "png";
  if (text.starts_with("RIFF") && text.size() >= 12 && text.substr(8, 4) == "WEBP") return "webp";
  if (text.starts_with("GIF87a") || text.starts_with("GIF89a")) return "gif";
  if (text.starts_with("BM")) return "bmp";
  const std::string_view magic = text.substr(0, 4);
  using std::string_view_literals::operator""sv;
  if (magic == "II*\0"sv || magic == "MM\0*"sv || magic == "II+\0"sv || magic == "MM\0+"sv)
    return "tiff";
  return "";
}

Image decode_image(std::span<const std::byte> bytes, const std::string& name, Loader loader,
                   const DecodeLimits& limits) {
  if (bytes.empty()) fail(ErrorKind::bad_file, "{}: the file is empty, expected an image", name);
  if (bytes.size() > limits.max_file_bytes) {
    fail(ErrorKind::bad_file, "{}: the file has {} bytes, expected at most {}", name, bytes.size(),
         limits.max_file_bytes);
  }
  const Format* format = find_format(image_format(bytes));
  if (!format) {
    fail_unknown({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, name);
  }
  const DecodeJob job{bytes, name, loader, limits, format->name};
  try {
    Decoded decoded = format->decode(job);
    if (loader == Loader::hf || decoded.always_rotate) {
      apply_orientation(decoded.image, decoded.orientation);
    }
    return std::move(decoded.image);
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::out_of_memory, "{}: not enough memory to decode this {}", name, format->name);
  }
}

void write_png(const Image& image, const std::string& path) {
  const std::vector<std::byte> bytes = encode_png(image);
  NewFile whole(path);
  std::FILE* file = std::fopen(whole.path().c_str(), "wb");
  if (!file) fail(ErrorKind::device, "{}: cannot be written: {}", path, std::strerror(errno));
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const bool closed = std::fclose(file) == 0;
  if (!written || !closed) {
    fail(ErrorKind::device, "{}: writing {} bytes failed: {}", path, bytes.size(),
         std::strerror(errno));
  }
  whole.keep();
}

}  // namespace qwenvl
