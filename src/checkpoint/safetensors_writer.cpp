#include "checkpoint/safetensors_writer.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/check.h"
#include "core/mapped_file.h"

namespace qwenvl {
namespace {

const char* stored_name(DType type) {
  switch (type) {
    case DType::f32: return "F32";
    case DType::bf16: return "BF16";
    case DType::f16: return "F16";
    case DType::i32: return "I32";
    case DType::i64: return "I64";
    case DType::u8: return "U8";
    case DType::i8: return "I8";
  }
  return "U8";
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     const std::vector<Declared>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : whole_(path.string()) {
  nlohmann::ordered_json header;
  header["__metadata__"] = metadata;
  for (const Declared& tensor : tensors) {
    const std::uint64_t begin = missing_bytes_;
    missing_bytes_ += static_cast<std::uint64_t>(tensor.shape.count()) * size_of(tensor.type);
    std::vector<std::int64_t> dims;
    for (int i = 0; i < tensor.shape.rank(); ++i) dims.push_back(tensor.shape[i]);
    header[tensor.name] = {{"dtype", stored_name(tensor.type)},
                           {"shape", dims},
                           {"data_offsets", {begin, missing_bytes_}}};
  }
  std::string text = header.dump();
  text.append((64 - (8 + text.size()) % 64) % 64, ' ');
  file_.open(whole_.path(), std::ios::binary | std::ios::trunc);
  std::uint64_t length = text.size();
  char bytes[8];
  for (char& byte : bytes) byte = static_cast<char>(length & 255), length >>= 8;
  file_.write(bytes, 8).write(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file_) fail_writing();
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  QWENVL_CHECK(bytes.size() <= missing_bytes_, "{} bytes, {} were declared", bytes.size(),
               missing_bytes_);
  missing_bytes_ -= bytes.size();
  file_.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  if (!file_) fail_writing();
}

void SafetensorsWriter::finish() {
  QWENVL_CHECK(missing_bytes_ == 0, "{} bytes are missing", missing_bytes_);
  file_.close();
  if (!file_) fail_writing();
  settle_file(whole_.path());
  whole_.keep();
}

void SafetensorsWriter::fail_writing() const {
  fail(ErrorKind::device, "{}: cannot be written: {}", whole_.path(), std::strerror(errno));
}

}  // namespace qwenvl
