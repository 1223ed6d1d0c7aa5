// Before: a VideoSource.   After: demuxer.cpp lets FFmpeg read through it.
#include "media/video/ffmpeg/byte_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/check.h"

namespace qwenvl {

ByteReader::ByteReader(const VideoSource& source) {
  if (source.path.empty()) {
    memory_ = source.bytes;
    size_ = static_cast<std::int64_t>(memory_.size());
    return;
  }
  // Opened without blocking, so that a FIFO without a writer cannot hold us.
  descriptor_ = open(source.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor_ < 0) {
    fail(ErrorKind::bad_file, "{}: cannot be opened: {}", quoted(source.path),
         std::strerror(errno));
  }
  struct stat status;
  if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(descriptor_);
    fail(ErrorKind::bad_file, "{}: is not a regular file, expected a video file",
         quoted(source.path));
  }
  size_ = status.st_size;
}

ByteReader::~ByteReader() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::int64_t ByteReader::read(std::span<std::byte> out) {
  std::int64_t n = 0;
  if (descriptor_ < 0) {
    n = std::clamp<std::int64_t>(size_ - position_, 0, static_cast<std::int64_t>(out.size()));
    if (n > 0) std::memcpy(out.data(), memory_.data() + position_, static_cast<std::size_t>(n));
  } else {
    do {
      n = pread(descriptor_, out.data(), out.size(), position_);
    } while (n < 0 && errno == EINTR);
  }
  if (n > 0) position_ += n;
  return n;
}

}  // namespace qwenvl
