// Writes a safetensors file piece by piece, so that no more than a piece is ever in memory.
// Before: engine/quantize/tensor_packer.cpp makes the pieces.   After: safetensors.cpp reads the
// file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/new_file.h"
#include "core/tensor.h"

namespace qwenvl {

class SafetensorsWriter {
 public:
  struct Declared {
    std::string name;
    DType type;
    Shape shape;
  };

  // Writes the header to `path` + ".part" (NewFile). Bytes of the tensors follow in this order, the
  // first of them at a multiple of 64. Throws device when the file cannot be written.
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<Declared>& tensors,
                    const std::map<std::string, std::string>& metadata);

  void write(std::span<const std::byte> bytes);
  // All bytes are there: gives the file its name.
  void finish();

 private:
  [[noreturn]] void fail_writing() const;

  NewFile whole_;  // removed when it was not finished
  std::ofstream file_;
  std::uint64_t missing_bytes_ = 0;
};

}  // namespace qwenvl
