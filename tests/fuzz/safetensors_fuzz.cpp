// Any bytes as a safetensors file and as a shard index: entries inside the file, or one Error.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "checkpoint/packed_tensors.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/shard_index.h"
#include "fuzz/outcome.h"

namespace {

using qwenvl::fuzz::expect_error_or_success;
using qwenvl::fuzz::require;

// What the loader promises to the rest of the program about every entry.
void check_entries(std::span<const std::byte> file) {
  std::size_t total = 0;
  std::map<std::string, std::string> metadata;
  const auto entries = qwenvl::parse_safetensors(file, "input", &metadata);
  for (const auto& [name, tensor] : qwenvl::parse_packed_tensors(metadata, entries, "input")) {
    require(entries.contains(name) && tensor.shape.rank() == 2 && tensor.shape.count() > 0);
  }
  for (const auto& [name, entry] : entries) {
    require(entry.shape.count() >= 0);
    require(static_cast<std::size_t>(entry.shape.count()) * size_of(entry.type) ==
            entry.bytes.size());
    require(entry.bytes.data() >= file.data());
    require(entry.bytes.data() + entry.bytes.size() <= file.data() + file.size());
    total += entry.bytes.size();
  }
  require(total <= file.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // The first byte chooses the reader. A mapped file begins at a page; so does this copy, nearly.
  std::vector<std::uint64_t> storage(size / 8 + 1);
  std::memcpy(storage.data(), data + 1, size - 1);
  const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(storage.data()),
                                        size - 1);
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  switch (data[0] % 3) {
    case 0: expect_error_or_success([&] { check_entries(file); }); break;
    case 1: expect_error_or_success([&] { qwenvl::parse_shard_index(text, "input"); }); break;
    default: {
      // The input is the header; its length and some data are put around it, so that mutations are
      // not spent on finding the length.
      const std::size_t padded = (file.size() + 7) / 8 * 8;
      std::vector<std::uint64_t> whole(1 + padded / 8 + 64, 0);
      whole[0] = padded;
      std::memset(&whole[1], ' ', padded);
      std::memcpy(&whole[1], file.data(), file.size());
      expect_error_or_success([&] { check_entries(std::as_bytes(std::span(whole))); });
    }
  }
  return 0;
}
