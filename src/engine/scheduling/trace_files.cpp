// Named intermediate results → NumPy files.
// Before: models/ call the trace.   After: a script compares the files with the reference's.
#include "engine/scheduling/trace_files.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

namespace qwenvl {
namespace {

std::vector<float> row_floats(const Tensor& value, std::int64_t row) {
  std::vector<float> out(static_cast<std::size_t>(value.row_width()));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] =
        value.type == DType::bf16 ? to_float(value.row<bf16>(row)[i]) : value.row<float>(row)[i];
  }
  return out;
}

// The NumPy format, version 1.0: magic, header length, a Python literal padded to 64 bytes, data.
void write_npy(const std::string& path, const Tensor& value) {
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", value.rows(),
                  value.row_width());
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::ofstream file(path, std::ios::binary);
  file << "\x93NUMPY\x01" << '\0' << static_cast<char>(header.size() & 0xff)
       << static_cast<char>(header.size() >> 8) << header;
  for (std::int64_t row = 0; row < value.rows(); ++row) {
    const auto floats = row_floats(value, row);
    file.write(reinterpret_cast<const char*>(floats.data()),
               static_cast<std::streamsize>(floats.size() * sizeof(float)));
  }
  if (!file.flush()) fail(ErrorKind::device, "QWENVL_TRACE: cannot write {}", path);
}

}  // namespace

Trace trace_to_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorKind::device, "QWENVL_TRACE: cannot create {}: {}", folder, error.message());
  auto counter = std::make_shared<int>(0);
  return [folder, counter](const char* name, int layer, const Tensor& value) {
    write_npy(fmt::format("{}/{:06}_{}_{}.npy", folder, (*counter)++, name, layer), value);
  };
}

}  // namespace qwenvl
