// Files read-only: mapped (weights) or read whole (configuration).
// Before: a path.   After: checkpoint/ and text/ read the bytes.
#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "core/check.h"

namespace qwenvl {
namespace {

// Closes the descriptor when a failure unwinds.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

std::size_t open_regular(const std::filesystem::path& path, Descriptor& file) {
  file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.fd < 0)
    fail(ErrorKind::bad_file, "{}: cannot open: {}", path.string(), std::strerror(errno));
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) {
    fail(ErrorKind::bad_file, "{}: cannot stat: {}", path.string(), std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    fail(ErrorKind::bad_file, "{}: is not a regular file", path.string());
  }
  return static_cast<std::size_t>(status.st_size);
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  Descriptor file{-1};
  size_bytes_ = open_regular(path, file);
  if (size_bytes_ == 0) return;  // mmap refuses empty files; an empty span says it all
  void* mapped = ::mmap(nullptr, size_bytes_, PROT_READ, MAP_SHARED, file.fd, 0);
  if (mapped == MAP_FAILED) {
    fail(ErrorKind::bad_file, "{}: cannot map {} bytes: {}", path.string(), size_bytes_,
         std::strerror(errno));
  }
  // Advice: where the system has large pages for files, one that is read for the first time then
  // lies in them, is touched in a tenth of the time and read faster.
  ::madvise(mapped, size_bytes_, MADV_HUGEPAGE);
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_bytes_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(path_, other.path_);
  return *this;
}

void MappedFile::release(std::span<const std::byte> part) const noexcept {
  if (part.empty()) return;
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t first = static_cast<std::size_t>(part.data() - data_) / page * page;
  const std::size_t end = static_cast<std::size_t>(part.data() + part.size() - data_);
  // Pages at both ends go whole: neighbours come back like everything else. Where the system
  // refuses, the pages stay, which costs memory and nothing else.
  ::madvise(const_cast<std::byte*>(data_) + first, end - first, MADV_DONTNEED);
}

void settle_file(const std::filesystem::path& path) {
  Descriptor file{-1};
  open_regular(path, file);
  if (::fsync(file.fd) != 0) {
    fail(ErrorKind::device, "{}: cannot be written to the disk: {}", path.string(),
         std::strerror(errno));
  }
  ::posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);  // advice
}

std::string read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  Descriptor file{-1};
  const std::size_t size = open_regular(path, file);
  if (size > max_bytes) {
    fail(ErrorKind::bad_file, "{}: {} bytes, expected at most {}", path.string(), size, max_bytes);
  }
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::read(file.fd, text.data() + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      fail(ErrorKind::bad_file, "{}: read {} of {} bytes: {}", path.string(), done, size,
           n < 0 ? std::strerror(errno) : "the file shrank while being read");
    }
    done += static_cast<std::size_t>(n);
  }
  return text;
}

}  // namespace qwenvl
