// A file mapped read-only into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace qwenvl {

class MappedFile {
 public:
  MappedFile() = default;
  // Throws bad_file when the path cannot be opened, is not a regular file, or cannot be mapped.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_bytes_}; }
  const std::filesystem::path& path() const { return path_; }
  // Takes the pages of `part`, which lies in this file, out of this process; what is read later
  // comes back, from the system's cache of files as long as it is there.
  void release(std::span<const std::byte> part) const noexcept;
  bool holds(std::span<const std::byte> part) const {
    return part.data() >= data_ && part.data() + part.size() <= data_ + size_bytes_;
  }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
  std::filesystem::path path_;
};

// Puts a file that has been written on the disk for certain, and out of the system's cache of
// files: there it lies in small pages, and is to be mapped in large ones. Throws device.
void settle_file(const std::filesystem::path& path);

// The whole of a small file (configuration, tokenizer). Throws bad_file above `max_bytes`.
std::string read_file(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace qwenvl
