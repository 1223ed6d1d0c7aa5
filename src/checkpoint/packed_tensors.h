// Which tensors of a file are packed, and as what: stated in the metadata of the safetensors
// header.
//
//   "qwenvl.version": "1"
//   "qwenvl.packed":  {"model.layers.0.mlp.up_proj.weight": {"packing": "int4", "shape": [11008,
//   2048]}}
//
// A packed tensor is stored as U8 bytes; what they mean is described in formats/packed.h.
// Before: safetensors.cpp reads the header.   After: binder.cpp.
#pragma once

#include <map>
#include <string>

#include "checkpoint/safetensors.h"

namespace qwenvl {

inline constexpr const char* kPackedVersion = "1";

struct PackedTensor {
  std::string packing;  // "int4"
  Shape shape;          // [rows, numbers of a row]
};

// Empty for files without such metadata. Throws unsupported for another version, bad_file for
// metadata that does not fit the tensors.
std::map<std::string, PackedTensor> parse_packed_tensors(
    const std::map<std::string, std::string>& metadata,
    const std::map<std::string, TensorEntry>& entries, const std::string& where);

// The metadata that states them.
std::map<std::string, std::string> packed_metadata(
    const std::map<std::string, PackedTensor>& tensors);

}  // namespace qwenvl
