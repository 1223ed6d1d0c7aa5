// Writes GGUF files of random numbers, block by block.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/numbers.h"

namespace qwenvl {

struct GgufKind {
  std::uint32_t id;
  std::int64_t n_values;
  std::size_t n_bytes;
  std::vector<std::size_t> scales;  // where a block has a float16
  float scale;                      // what stands there
};

inline const std::map<std::string, GgufKind>& gguf_kinds() {
  static const std::map<std::string, GgufKind> kinds = {{"F16", {1, 1, 2, {0}, 0.05F}},
                                                        {"Q4_0", {2, 32, 18, {0}, 0.01F}},
                                                        {"Q8_0", {8, 32, 34, {0}, 0.0005F}},
                                                        {"Q4_K", {12, 256, 144, {0, 2}, 0.0002F}},
                                                        {"Q5_K", {13, 256, 176, {0, 2}, 0.0001F}},
                                                        {"Q6_K", {14, 256, 210, {208}, 0.00003F}},
                                                        {"F32", {0, 1, 4, {}, 0}},
                                                        {"BF16", {30, 1, 2, {}, 0}}};
  return kinds;
}

class GgufWriter {
 public:
  template <class T>
  static std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }
  static std::string text(const std::string& value) {
    return raw(std::uint64_t{value.size()}) + value;
  }

  void value(const std::string& key, std::uint32_t number) {
    values_.push_back(text(key) + raw(std::uint32_t{4}) + raw(number));
  }
  void value(const std::string& key, float number) {
    values_.push_back(text(key) + raw(std::uint32_t{6}) + raw(number));
  }
  void value(const std::string& key, const char* words) {
    values_.push_back(text(key) + raw(std::uint32_t{8}) + text(words));
  }
  // type: 5 for whole numbers, 6 for float32, 8 for texts.
  void list(const std::string& key, std::uint32_t type, const std::vector<std::string>& elements) {
    std::string all = text(key) + raw(std::uint32_t{9}) + raw(type);
    all += raw(std::uint64_t{elements.size()});
    for (const std::string& element : elements) all += element;
    values_.push_back(all);
  }

  // Random numbers. Shape as the network knows it.
  void tensor(const std::string& name, const std::string& kind_name,
              const std::vector<std::int64_t>& shape) {
    const GgufKind& kind = gguf_kinds().at(kind_name);
    std::int64_t count = 1;
    for (const std::int64_t n : shape) count *= n;
    std::string entry = text(name) + raw(static_cast<std::uint32_t>(shape.size()));
    for (std::size_t i = shape.size(); i-- > 0;) entry += raw(std::uint64_t(shape[i]));
    tensors_.push_back(entry + raw(kind.id) + raw(std::uint64_t{data_.size()}));
    for (std::int64_t i = 0; i < count / kind.n_values; ++i) add_block(kind);
    data_.resize((data_.size() + 31) / 32 * 32);
  }

  void write(const std::filesystem::path& path) const {
    std::string out = raw(std::uint32_t{0x46554747}) + raw(std::uint32_t{3}) +
                      raw(std::uint64_t{tensors_.size()}) + raw(std::uint64_t{values_.size()});
    for (const std::string& value : values_) out += value;
    for (const std::string& tensor : tensors_) out += tensor;
    out.resize((out.size() + 31) / 32 * 32);
    std::ofstream(path, std::ios::binary) << out << data_;
  }

 private:
  void add_block(const GgufKind& kind) {
    const float number = static_cast<float>(random_() % 2001) / 1000 - 1;
    if (kind.id == 0) {
      data_ += raw(number);
    } else if (kind.id == 30) {
      data_ += raw(to_bf16(number * 0.05F));
    } else if (kind.id == 1) {
      data_ += raw(to_fp16(number * kind.scale));
    } else {
      std::string block(kind.n_bytes, '\0');
      for (char& byte : block) byte = static_cast<char>(random_());
      for (const std::size_t at : kind.scales) block.replace(at, 2, raw(to_fp16(kind.scale)));
      data_ += block;
    }
  }

  std::mt19937 random_{11};
  std::vector<std::string> values_, tensors_;
  std::string data_;
};

}  // namespace qwenvl
