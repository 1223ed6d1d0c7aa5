// How GGUF stores numbers: blocks of a few values with common scales.
// Before: gguf.cpp names the type of a tensor.   After: open.cpp reads rows through decode().
#pragma once

#include <cstddef>
#include <cstdint>

namespace qwenvl {

struct GgufBlockType {
  std::uint32_t id;       // in the file
  const char* name;       // "Q4_K"
  std::int64_t n_values;  // per block
  std::int64_t n_bytes;   // per block
  // n_blocks blocks into n_blocks * n_values numbers; null for types whose size alone is known.
  void (*decode)(const std::byte* blocks, std::int64_t n_blocks, float* out);
};

// Null when the number means no type.
const GgufBlockType* find_gguf_block_type(std::uint32_t id);

}  // namespace qwenvl
