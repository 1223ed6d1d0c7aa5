// The safetensors container: an 8-byte header length, a JSON header, raw tensor bytes.
// Foreign bytes: every number in the header is checked before it is used.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "core/mapped_file.h"
#include "core/tensor.h"

namespace qwenvl {

struct TensorEntry {
  DType type;
  Shape shape;
  std::span<const std::byte> bytes;  // inside the mapped file
  // The entry as a view (read-only memory behind it).
  Tensor view() const { return Tensor(const_cast<std::byte*>(bytes.data()), type, shape); }
};

// Tensor names → entries pointing into `file`. `where` names the file in messages. Throws bad_file:
// truncated, header too long, not JSON, unknown dtype, shape × dtype ≠ bytes, offsets that overlap,
// leave gaps or pass the end.
std::map<std::string, TensorEntry> parse_safetensors(
    std::span<const std::byte> file, const std::string& where,
    std::map<std::string, std::string>* metadata = nullptr);

}  // namespace qwenvl
