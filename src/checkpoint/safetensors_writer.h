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

#include "core/tensor.h"

namespace qwenvl {

class SafetensorsWriter {
 public:
  struct Declared {
    std::string name;
    DType type;
    Shape shape;
  };

  // Writes the header to `path` + ".part". Bytes of the tensors follow in this order, the first of
  // them at a multiple of 64. Throws device when the file cannot be written.
  SafetensorsWriter(std::filesystem::path path, const std::vector<Declared>& tensors,
                    const std::map<std::string, std::string>& metadata);
  // Removes an unfinished file.
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  void write(std::span<const std::byte> bytes);
  // All bytes are there: gives the file its name.
  void finish();

 private:
  [[noreturn]] void fail_writing() const;

  std::filesystem::path path_, part_;
  std::ofstream file_;
  bool is_finished_ = false;  // the file has its name
  std::uint64_t missing_bytes_ = 0;
};

}  // namespace qwenvl
