// Shared by the tests of videos: the golden clips, and how they are opened.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "media/media_files.h"
#include "media/video/video.h"
#include "support/crc32.h"

namespace qwenvl::test {

inline std::string clip_path(const std::string& name) {
  return std::string(QWENVL_TEST_DATA) + "/golden/video/clips/" + name;
}

inline std::unique_ptr<VideoReader> open_file(const std::string& path,
                                              ReaderStyle style = ReaderStyle::torchcodec) {
  return open_video({path, path, {}}, style);
}
inline std::unique_ptr<VideoReader> open_clip(const std::string& name,
                                              ReaderStyle style = ReaderStyle::torchcodec) {
  return open_file(clip_path(name), style);
}
inline std::unique_ptr<VideoReader> open_bytes(std::vector<std::byte> bytes,
                                               const std::string& name = "clip") {
  return open_video({name, "", std::move(bytes)}, ReaderStyle::torchcodec);
}

inline ReaderStyle style_named(const std::string& name) {
  return name == "decord" ? ReaderStyle::decord : ReaderStyle::torchcodec;
}

// The pixels in eight digits.
inline std::string crc_of(const Image& image) {
  return fmt::format("{:08x}", testing::crc32(std::as_bytes(std::span(image.rgb))));
}

// The pixels of the current frame in words that a test can compare.
inline std::string crc_of_frame(VideoReader& reader, std::int64_t frame) {
  reader.move_to(frame);
  return crc_of(reader.rgb());
}

}  // namespace qwenvl::test
