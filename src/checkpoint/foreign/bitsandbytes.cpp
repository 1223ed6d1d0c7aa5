// bitsandbytes matrices of 4 bits (nf4, fp4) and of 8 bits as rows of float32.
// Before: folder_source.cpp.   After: rows.
// Mirrors what bitsandbytes computes when it dequantises, without its rounding to 16 bits.
//
// 4 bits: the matrix [N, K] as one run of values, two per byte, the first in the high half; each
//   block of 64 has a largest magnitude: w = quant_map[q] * absmax[block]. Nested: absmax is bytes,
//   absmax[b] = nested_quant_map[byte] * nested_absmax[b / 256] + nested_offset.
// 8 bits: w = q * SCB[n] / 127.
#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "checkpoint/foreign/formats.h"
#include "core/check.h"

namespace qwenvl {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxStateBytes = 1 << 16;
constexpr std::int64_t kMaxBlock = 1 << 20;

int byte_at(const TensorEntry& entry, std::int64_t i) {
  return std::to_integer<int>(entry.bytes[static_cast<std::size_t>(i)]);
}

// The largest magnitude of each block.
struct Magnitudes {
  TensorEntry stored;  // floats, or bytes when nested
  bool is_nested = false;
  std::vector<float> quant_map;  // 256 values of the bytes
  std::vector<float> nested;     // one per nested_block bytes
  std::int64_t nested_block = 1;
  float offset = 0;

  float of(std::int64_t block) const {
    if (!is_nested) {
      float value;
      read_floats(stored, block, 1, &value);
      return value;
    }
    const float value = quant_map[static_cast<std::size_t>(byte_at(stored, block))];
    return value * nested[static_cast<std::size_t>(block / nested_block)] + offset;
  }
};

class FourBitTensor : public StoredTensor {
 public:
  FourBitTensor(Shape shape, std::string format, std::string file, const TensorEntry& halves,
                std::vector<float> quant_map, Magnitudes magnitudes, std::int64_t block)
      : StoredTensor(shape, std::move(format), std::move(file)),
        halves_(halves),
        quant_map_(std::move(quant_map)),
        magnitudes_(std::move(magnitudes)),
        block_(block) {}

 private:
  // Blocks run across the ends of rows.
  void convert_rows(std::int64_t first, std::int64_t n, float* out) const override {
    const std::int64_t end = (first + n) * row_width();
    for (std::int64_t i = first * row_width(); i < end;) {
      const float magnitude = magnitudes_.of(i / block_);
      const std::int64_t block_end = std::min((i / block_ + 1) * block_, end);
      for (; i < block_end; ++i) {
        const int both = byte_at(halves_, i / 2);
        *out++ = quant_map_[i % 2 == 0 ? both >> 4 : both & 15] * magnitude;
      }
    }
  }

  TensorEntry halves_;
  std::vector<float> quant_map_;
  Magnitudes magnitudes_;
  std::int64_t block_;
};

class EightBitTensor : public StoredTensor {
 public:
  EightBitTensor(std::string file, const TensorEntry& bytes, std::vector<float> largest)
      : StoredTensor(bytes.shape, "bitsandbytes int8", std::move(file)),
        bytes_(bytes),
        largest_(std::move(largest)) {}

 private:
  void convert_rows(std::int64_t first, std::int64_t n, float* out) const override {
    for (std::int64_t row = first; row < first + n; ++row) {
      for (std::int64_t k = 0; k < row_width(); ++k) {
        const auto q = static_cast<std::int8_t>(byte_at(bytes_, row * row_width() + k));
        *out++ = static_cast<float>(q) * largest_[static_cast<std::size_t>(row)] / 127.0f;
      }
    }
  }

  TensorEntry bytes_;
  std::vector<float> largest_;
};

// The JSON object that bitsandbytes keeps beside a matrix, as a tensor of bytes.
class State {
 public:
  State(const ModuleTensors& parts, const std::string& name) : where_(parts.where() + " " + name) {
    const TensorEntry& bytes = parts.take(name, {DType::u8});
    if (bytes.bytes.size() > kMaxStateBytes) {
      fail(ErrorKind::bad_file, "{}: {} bytes, expected at most {}", where_, bytes.bytes.size(),
           kMaxStateBytes);
    }
    const auto* text = reinterpret_cast<const char*>(bytes.bytes.data());
    json_ = Json::parse(text, text + bytes.bytes.size(), nullptr, false);
    if (!json_.is_object()) fail(ErrorKind::bad_file, "{}: is no JSON object", where_);
  }

  bool has(const char* key) const { return json_.contains(key); }
  std::int64_t integer(const char* key, std::int64_t high) const {
    return positive(at(key), key, high);
  }
  float number(const char* key) const {
    const Json& value = at(key);
    if (!value.is_number() || !(std::abs(value.get<double>()) <= 1e30)) wrong(key, "a number");
    return static_cast<float>(value.get<double>());
  }
  std::string text(const char* key) const {
    const Json& value = at(key);
    if (!value.is_string()) wrong(key, "a text");
    return value.get<std::string>();
  }
  Shape shape(const char* key) const {
    const Json& value = at(key);
    if (!value.is_array() || value.size() != 2) wrong(key, "two numbers");
    constexpr std::int64_t kMost = 1 << 30;
    return {positive(value[0], key, kMost), positive(value[1], key, kMost)};
  }

 private:
  const Json& at(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) fail(ErrorKind::bad_file, "{}: '{}' is missing", where_, key);
    return *found;
  }
  std::int64_t positive(const Json& value, const char* key, std::int64_t high) const {
    const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() >= 1 &&
                      value.get<std::uint64_t>() <= static_cast<std::uint64_t>(high);
    if (!fits) wrong(key, "a whole number ≥ 1");
    return value.get<std::int64_t>();
  }
  [[noreturn]] void wrong(const char* key, const char* expected) const {
    fail(ErrorKind::bad_file, "{}: '{}' is not {}", where_, key, expected);
  }

  std::string where_;
  Json json_;
};

Magnitudes read_magnitudes(const ModuleTensors& parts, const State& state, std::int64_t n_blocks) {
  Magnitudes magnitudes;
  if (!state.has("nested_blocksize")) {
    magnitudes.stored = parts.take("absmax", {DType::f32, DType::bf16, DType::f16}, {n_blocks});
    return magnitudes;
  }
  magnitudes.is_nested = true;
  magnitudes.stored = parts.take("absmax", {DType::u8}, {n_blocks});
  magnitudes.quant_map = parts.floats("nested_quant_map", 256);
  magnitudes.nested_block = state.integer("nested_blocksize", kMaxBlock);
  magnitudes.nested = parts.floats("nested_absmax", groups_of(n_blocks, magnitudes.nested_block));
  magnitudes.offset = state.number("nested_offset");
  return magnitudes;
}

}  // namespace

StoredTensorPointer read_bitsandbytes_4bit(const ModuleTensors& parts, const TensorEntry& weight,
                                           const std::string& quant_type) {
  const State state(parts, "quant_state.bitsandbytes__" + quant_type);
  if (state.text("quant_type") != quant_type) {
    fail(ErrorKind::bad_file, "{}: its state says {}, expected {}", parts.where(),
         quoted(state.text("quant_type")), quoted(quant_type));
  }
  const Shape shape = state.shape("shape");
  const std::int64_t n_values = shape.count(), block = state.integer("blocksize", kMaxBlock);
  if (static_cast<std::int64_t>(weight.bytes.size()) != (n_values + 1) / 2) {
    fail(ErrorKind::bad_file, "{}: {} bytes, expected {} for {} of 4 bits", parts.where(),
         weight.bytes.size(), (n_values + 1) / 2, shape.str());
  }
  Magnitudes magnitudes = read_magnitudes(parts, state, groups_of(n_values, block));
  const std::string format = "bitsandbytes " + quant_type + (magnitudes.is_nested ? " nested" : "");
  return std::make_unique<FourBitTensor>(
      shape, format, parts.file_of("quant_state.bitsandbytes__" + quant_type), weight,
      parts.floats("quant_map", 16), std::move(magnitudes), block);
}

StoredTensorPointer read_bitsandbytes_8bit(const ModuleTensors& parts) {
  const TensorEntry& bytes = parts.take("weight", {DType::i8});
  if (bytes.shape.rank() != 2) {
    fail(ErrorKind::bad_file, "{}: 'weight' is {}, expected a matrix", parts.where(),
         bytes.shape.str());
  }
  // Saved by newer versions: 0 stands for plain rows, others for layouts of some accelerators.
  if (const TensorEntry* format = parts.find("weight_format")) {
    for (std::byte byte : format->bytes) {
      if (byte != std::byte{0}) {
        fail(ErrorKind::unsupported, "{}: 'weight_format' is {}, expected 0 (rows)", parts.where(),
             std::to_integer<int>(byte));
      }
    }
  }
  return std::make_unique<EightBitTensor>(parts.file_of("weight"), bytes,
                                          parts.floats("SCB", bytes.shape[0]));
}

}  // namespace qwenvl
