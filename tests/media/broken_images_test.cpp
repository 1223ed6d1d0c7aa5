// Damaged, hostile and foreign bytes: one clear error each, without much memory.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <functional>

#include "media/image.h"
#include "media_files.h"
#include "qwenvl/error.h"

namespace qwenvl {
namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes_of(const std::string& text) {
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

std::string golden(const std::string& file) {
  const Bytes bytes = test::read_file(test::golden_folder() + file);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string cut(const std::string& file, std::size_t percent) {
  const std::string text = golden(file);
  return text.substr(0, text.size() * percent / 100);
}

std::string patched(const std::string& file, std::size_t at, const std::string& with) {
  return golden(file).replace(at, with.size(), with);
}

// The file with what follows the first `marker` (plus `skip` bytes) replaced.
std::string patched_after(const std::string& file, const std::string& marker, std::size_t skip,
                          const std::string& with) {
  std::string text = golden(file);
  const std::size_t at = text.find(marker);
  EXPECT_NE(at, std::string::npos) << file;
  return text.replace(at + marker.size() + skip, with.size(), with);
}

std::string le(std::uint64_t value, int n_bytes) {
  std::string out;
  for (int i = 0; i < n_bytes; ++i) out.push_back(static_cast<char>(value >> 8 * i));
  return out;
}
std::string be(std::uint64_t value, int n_bytes) {
  const std::string text = le(value, n_bytes);
  return {text.rbegin(), text.rend()};
}

// Bitwise CRC-32, so that PNG headers can be forged.
std::string png_chunk(const std::string& type, const std::string& body) {
  std::uint32_t crc = 0xffffffff;
  for (unsigned char c : type + body) {
    crc ^= c;
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return be(body.size(), 4) + type + body + be(~crc, 4);
}

std::string png(std::uint32_t width, std::uint32_t height, const std::string& after_header, int depth = 8,
                int color_type = 2, int interlace = 0) {
  const std::string header = be(width, 4) + be(height, 4) + le(depth, 1) + le(color_type, 1) +
                             std::string(2, '\0') + le(interlace, 1);
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header) + after_header;
}

std::string bmp(std::uint32_t width, std::uint32_t height, std::uint32_t bits, std::uint32_t compression = 0,
                std::uint32_t n_colors = 0, std::uint32_t header_size = 40) {
  return "BM" + le(0, 8) + le(14 + 40, 4) + le(header_size, 4) + le(width, 4) + le(height, 4) + le(1, 2) +
         le(bits, 2) + le(compression, 4) + le(0, 12) + le(n_colors, 4) + le(0, 4) + std::string(64, '\0');
}

struct Tag {
  std::uint16_t id, type;
  std::uint32_t count, value;
};

std::string tiff(std::vector<Tag> tags, std::uint32_t next = 0) {
  std::string out = "II*" + std::string(1, '\0') + le(8, 4) + le(tags.size(), 2);
  for (const Tag& tag : tags) out += le(tag.id, 2) + le(tag.type, 2) + le(tag.count, 4) + le(tag.value, 4);
  return out + le(next, 4) + std::string(64, '\x55');
}

std::vector<Tag> gray_tags(std::uint32_t width, std::uint32_t height) {
  return {{256, 4, 1, width}, {257, 4, 1, height}, {258, 3, 1, 8},   {259, 3, 1, 1},  {262, 3, 1, 1},
          {273, 4, 1, 8},     {277, 3, 1, 1},      {278, 4, 1, height}, {279, 4, 1, 64}};
}

std::vector<Tag> with_tag(std::vector<Tag> tags, Tag changed) {
  for (Tag& tag : tags) {
    if (tag.id == changed.id) {
      tag = changed;
      return tags;
    }
  }
  tags.push_back(changed);
  return tags;
}

std::string gif(std::uint32_t width, std::uint32_t height, const std::string& rest) {
  return "GIF89a" + le(width, 2) + le(height, 2) + std::string("\x80\0\0", 3) + std::string("\0\0\0\xff\xff\xff", 6) +
         rest;
}

std::string jpeg_of_size(std::uint32_t width, std::uint32_t height) {
  return patched_after("jpeg_420.jpg", "\xff\xc0", 3, be(height, 2) + be(width, 2));
}

// Empty scans, far more than any real progressive file has.
std::string jpeg_with_scans(int n_scans) {
  std::string text = golden("jpeg_progressive.jpg");
  const std::size_t first = text.find("\xff\xda");
  const std::size_t end = text.find("\xff", first + 12);
  std::string out = text.substr(0, first);
  const std::string scan = text.substr(first, end - first);
  for (int i = 0; i < n_scans; ++i) out += scan;
  return out + text.substr(end);
}

struct Broken {
  const char* name;
  std::string bytes;
  std::string part;  // of the message
};

std::vector<Broken> foreign_bytes() {
  return {
      {"empty", "", "empty"},
      {"one_byte", "x", "not an image"},
      {"text", "Hello, this is no image at all.\n", "text beginning 'Hello, this is no image"},
      {"zip", "PK\x03\x04" + std::string(40, '\x7f'), "not an image"},
      {"pdf", "%PDF-1.7 something", "not an image"},
      {"svg", "<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"},
      {"zeros", std::string(1000, '\0'), "not an image"},
      {"riff_but_wave", "RIFF" + le(36, 4) + "WAVEfmt " + std::string(40, '\0'), "not an image"},
      {"signature_only_jpeg", "\xff\xd8\xff", "truncated"},
      {"signature_only_png", "\x89PNG\r\n\x1a\n", "truncated"},
      {"signature_only_gif", "GIF89a", "damaged GIF"},
      {"signature_only_bmp", "BM", "truncated"},
      {"signature_only_webp", "RIFF" + le(4, 4) + "WEBP", "damaged WebP"},
      {"signature_only_tiff", "II*" + std::string(1, '\0'), "damaged TIFF"},
  };
}

std::vector<Broken> truncated_files() {
  std::vector<Broken> out;
  const std::pair<const char*, const char*> files[] = {
      {"photo_chelsea.jpg", "damaged JPEG"}, {"jpeg_progressive.jpg", "damaged JPEG"},
      {"png_rgb.png", "damaged PNG"},        {"png_interlaced_rgba.png", "damaged PNG"},
      {"webp_lossy.webp", "damaged WebP"},   {"webp_lossless_alpha.webp", "damaged WebP"},
      {"gif_palette.gif", "damaged GIF"},    {"bmp_24.bmp", "damaged BMP"},
      {"bmp_rle8.bmp", "damaged BMP"},       {"tiff_raw.tif", "damaged TIFF"},
      {"tiff_tiff_lzw.tif", "damaged TIFF"}, {"tiff_strips_big_endian.tif", "damaged TIFF"}};
  for (const auto& [file, part] : files) {
    for (std::size_t percent : {15, 50, 90}) out.push_back({file, cut(file, percent), part});
  }
  const std::string jpeg = golden("jpeg_420.jpg");
  out.push_back({"jpeg_without_end", jpeg.substr(0, jpeg.size() - 2), "truncated"});
  return out;
}

std::vector<Broken> broken_jpegs_and_pngs() {
  const std::string idat = png_chunk("IDAT", "\x78\x9c\x03\x00\x00\x00\x00\x01");
  return {
      {"jpeg_zero_width", jpeg_of_size(0, 45), "JPEG"},
      {"jpeg_huge", jpeg_of_size(65500, 65500), "at most"},
      {"jpeg_claims_much", jpeg_of_size(14000, 14000), "truncated"},
      {"jpeg_bad_huffman", patched_after("jpeg_420.jpg", "\xff\xc4", 3, std::string(16, '\xff')), "Huffman"},
      {"jpeg_missing_quantisation", patched_after("jpeg_420.jpg", "\xff\xc0", 9, "\x03"), "damaged JPEG"},
      {"jpeg_12_bit", patched_after("jpeg_420.jpg", "\xff\xc0", 2, "\x0c"), "damaged JPEG"},
      {"jpeg_sampling_5", patched_after("jpeg_420.jpg", "\xff\xc0", 9, "\x55"), "damaged JPEG"},
      {"jpeg_endless_scans", jpeg_with_scans(2000), "too many progressive scans"},
      {"png_bomb", png(60000, 60000, idat), "at most"},
      {"png_long_line", png(1, 100000, idat), "at most 65535 on a side"},
      {"png_claims_much", png(14000, 14000, idat), "cannot hold"},
      {"png_claims_much_interlaced", png(14000, 14000, idat, 8, 6, 1), "cannot hold"},
      {"png_zero_size", png(0, 10, idat), "at least 1 x 1"},
      {"png_without_data", png(4, 4, png_chunk("IEND", "")), "damaged PNG"},
      {"png_bad_depth", png(4, 4, idat, 7), "damaged PNG"},
      {"png_bad_color_type", png(4, 4, idat, 8, 5), "damaged PNG"},
      {"png_bad_interlace", png(4, 4, idat, 8, 2, 9), "damaged PNG"},
      {"png_palette_missing", png(4, 4, idat, 8, 3), "damaged PNG"},
      {"png_bad_header_checksum", patched("png_rgb.png", 29, "\x01\x02\x03\x04"), "damaged PNG"},
      {"png_header_second", "\x89PNG\r\n\x1a\n" + png_chunk("tEXt", std::string(30, 'a')), "IHDR"},
      {"png_bad_stream", png(4, 4, png_chunk("IDAT", std::string(80, '\xee')) + png_chunk("IEND", "")), "damaged PNG"},
  };
}

std::vector<Broken> broken_webps_gifs_and_bmps() {
  const std::string frame = "," + le(0, 4) + le(1, 2) + le(1, 2) + std::string(1, '\0');
  return {
      {"webp_bad_chunk", patched("webp_lossy.webp", 12, "XXXX"), "damaged WebP"},
      {"webp_huge_canvas", "RIFF" + le(30, 4) + "WEBPVP8X" + le(10, 4) + le(0, 4) + "\xff\xff\xff\xff\xff\xff", "WebP"},
      {"webp_bad_pixels", patched("webp_lossless.webp", 30, std::string(300, '\xff')), "damaged WebP"},
      {"gif_no_frame", gif(4, 4, ";"), "no image"},
      {"gif_only_extension", gif(4, 4, "!\xfe\x03" + std::string("abc\0;", 5)), "no image"},
      {"gif_zero_size", gif(0, 4, frame), "at least 1 x 1"},
      {"gif_zero_frame", gif(4, 4, "," + le(0, 9) + "\x02"), "at least 1 x 1"},
      {"gif_bad_code_size", gif(4, 4, frame + "\x0d\x01\x01"), "damaged GIF"},
      {"gif_claims_much", gif(14000, 14000, "," + le(0, 4) + le(14000, 2) + le(14000, 2) + std::string("\0\x02\x01\x44\0;", 6)), "damaged GIF"},
      {"gif_huge", gif(65535, 65535, frame), "at most"},
      {"gif_beyond_limits", gif(4, 4, "," + le(0xffff, 2) + le(0, 2) + le(0xffff, 2) + le(0xffff, 2) + std::string("\0\x02", 2)), "at most"},
      {"bmp_zero_width", bmp(0, 4, 24), "at least 1 x 1"},
      {"bmp_huge", bmp(0x7fffffff, 0x7fffffff, 24), "at most"},
      {"bmp_height_overflow", bmp(4, 0x80000000, 24), "at most"},
      {"bmp_negative_height", bmp(60000, 0xffff1000, 24), "at most"},
      {"bmp_claims_much", bmp(14000, 14000, 24), "truncated"},
      {"bmp_two_bits", bmp(4, 4, 2), "expected 1, 4, 8"},
      {"bmp_header_size", bmp(4, 4, 24, 0, 0, 41), "header is 41 bytes"},
      {"bmp_palette_size", bmp(4, 4, 8, 0, 0x7fffffff), "at most 65536"},
      {"bmp_bit_fields", bmp(4, 4, 16, 3), "bit fields"},
      {"bmp_png_inside", bmp(4, 4, 24, 5), "compression 5"},
      {"bmp_rle_depth", bmp(4, 4, 24, 1), "run-length"},
  };
}

std::vector<Broken> broken_tiffs() {
  const std::vector<Tag> tags = gray_tags(8, 8);
  return {
      {"tiff_no_tags", tiff({}), "damaged TIFF"},
      {"tiff_no_size", tiff({{258, 3, 1, 8}, {262, 3, 1, 1}}), "TIFF"},
      {"tiff_zero_size", tiff(gray_tags(0, 8)), "TIFF"},
      {"tiff_huge", tiff(gray_tags(0xfffffff0, 0xfffffff0)), "TIFF"},
      {"tiff_claims_much", tiff(gray_tags(14000, 14000)), "damaged TIFF"},
      {"tiff_bits", tiff(with_tag(tags, {258, 3, 1, 7})), "7 bits"},
      {"tiff_many_samples", tiff(with_tag(tags, {277, 3, 1, 60000})), "TIFF"},
      {"tiff_compression", tiff(with_tag(tags, {259, 3, 1, 12345})), "TIFF"},
      {"tiff_color_space", tiff(with_tag(tags, {262, 3, 1, 8})), "colour space 8"},
      {"tiff_offset_outside", tiff(with_tag(tags, {273, 4, 1, 0xfffffff0})), "damaged TIFF"},
      {"tiff_count_overflow", tiff(with_tag(tags, {273, 4, 0xffffffff, 8})), "TIFF"},
      {"tiff_palette_missing", tiff(with_tag(tags, {262, 3, 1, 3})), "palette is missing"},
      {"tiff_palette_missing_4_bits", tiff(with_tag(with_tag(tags, {258, 3, 1, 4}), {262, 3, 1, 3})), "damaged TIFF"},
      {"tiff_directory_loop", "II*" + std::string(1, '\0') + le(0xfffffff0, 4), "damaged TIFF"},
      {"tiff_zero_tiles", tiff(with_tag(with_tag(with_tag(tags, {322, 4, 1, 0}), {323, 4, 1, 0}), {324, 4, 1, 8})), "TIFF"},
      {"tiff_absurd_tiles", tiff(with_tag(with_tag(with_tag(tags, {322, 4, 1, 0x7ffffff0}), {323, 4, 1, 0x7ffffff0}), {324, 4, 1, 8})), "TIFF"},
  };
}

std::vector<Broken> all_broken() {
  std::vector<Broken> all;
  for (const auto& make : {foreign_bytes, truncated_files, broken_jpegs_and_pngs, broken_webps_gifs_and_bmps, broken_tiffs}) {
    for (Broken& broken : make()) all.push_back(std::move(broken));
  }
  return all;
}

class BrokenImage : public testing::TestWithParam<Broken> {};

TEST_P(BrokenImage, IsOneClearError) {
  for (Loader loader : {Loader::qwen_vl_utils, Loader::hf}) {
    try {
      decode_image(bytes_of(GetParam().bytes), "photo.any", loader);
      FAIL() << "it was decoded";
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_TRUE(error.kind() == ErrorKind::bad_file || error.kind() == ErrorKind::unsupported) << message;
      EXPECT_EQ(message.rfind("photo.any: ", 0), 0u) << message;
      EXPECT_NE(message.find(GetParam().part), std::string::npos) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      EXPECT_LT(message.size(), 400u) << message;
    }
  }
}

std::string broken_name(const testing::TestParamInfo<Broken>& info) {
  std::string name = fmt::format("{}_{}", info.param.name, info.index);
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, BrokenImage, testing::ValuesIn(all_broken()), broken_name);

long peak_kilobytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(BrokenImages, TakeLittleMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers keep freed memory";
#endif
  const std::vector<Broken> all = all_broken();
  const long before = peak_kilobytes();
  for (const Broken& broken : all) {
    EXPECT_THROW(decode_image(bytes_of(broken.bytes), broken.name, Loader::hf), Error) << broken.name;
  }
  EXPECT_LT(peak_kilobytes() - before, 200'000) << "kilobytes";
}

TEST(DecodeLimits, RefuseALargePictureBeforeDecodingIt) {
  DecodeLimits limits;
  limits.max_pixels = 1000;
  for (const char* file : {"photo_chelsea.jpg", "png_rgb.png", "webp_lossy.webp", "gif_palette.gif", "bmp_24.bmp",
                           "tiff_raw.tif"}) {
    try {
      decode_image(bytes_of(golden(file)), file, Loader::hf, limits);
      FAIL() << file << " was decoded";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("expected at most 1000"), std::string::npos) << error.what();
    }
  }
  limits = {};
  limits.max_file_bytes = 10;
  EXPECT_THROW(decode_image(bytes_of(golden("png_rgb.png")), "x", Loader::hf, limits), Error);
}

// The reference does not read past the last pixel either.
TEST(PngWithoutItsEnd, KeepsAllItsPixels) {
  for (const char* file : {"png_rgb.png", "png_interlaced_rgba.png"}) {
    const std::string text = golden(file);
    const Image image = decode_image(bytes_of(text.substr(0, text.size() - 14)), file, Loader::hf);
    EXPECT_EQ(image.rgb, test::decode_golden(file, Loader::hf).rgb) << file;
  }
}

TEST(ExtremeShapes, DecodeWithinTheLimits) {
  const Image tall = test::decode_golden("png_tall.png", Loader::hf);
  const Image image{60000, 1, std::vector<std::uint8_t>(180000, 7)};
  const Image again = decode_image(encode_png(image), "line", Loader::hf);
  EXPECT_EQ(tall.height, 700);
  EXPECT_EQ(again.height, 60000);
}

// A TIFF-structured block with one directory that points at itself, inside a JPEG.
TEST(Exif, ABlockThatPointsAtItselfIsIgnored) {
  const std::string block = std::string("Exif\0\0II*\0", 10) + le(8, 4) + le(0xffff, 2) + le(34665, 2) + le(4, 2) +
                            le(1, 4) + le(8, 4) + le(8, 4);
  std::string text = golden("jpeg_420.jpg");
  text.insert(2, "\xff\xe1" + be(block.size() + 2, 2) + block);
  const Image image = decode_image(bytes_of(text), "loop.jpg", Loader::hf);
  EXPECT_EQ(image.rgb, test::decode_golden("jpeg_420.jpg", Loader::hf).rgb);
}

}  // namespace
}  // namespace qwenvl
