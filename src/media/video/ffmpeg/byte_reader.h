// The bytes of a video, from a file or from memory, read piece by piece. Private to
// src/media/video. Before: a VideoSource.   After: demuxer.cpp lets FFmpeg read through it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "media/video/video.h"

namespace qwenvl {

class ByteReader {
 public:
  explicit ByteReader(const VideoSource& source);  // which must outlive it
  ~ByteReader();
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  std::int64_t size() const { return size_; }
  std::int64_t position() const { return position_; }
  void move_to(std::int64_t position) { position_ = position; }
  // Reads up to out.size() bytes and moves on; 0 at the end, -1 when the system refuses.
  std::int64_t read(std::span<std::byte> out);

 private:
  std::span<const std::byte> memory_;
  int descriptor_ = -1;
  std::int64_t size_ = 0, position_ = 0;
};

}  // namespace qwenvl
