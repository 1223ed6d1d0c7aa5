// Reading golden files and comparing numbers with them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "core/mapped_file.h"
#include "core/numbers.h"

namespace qwenvl::testing {

inline std::string golden_path(const std::string& name) {
  return std::string(QWENVL_TEST_DATA) + "/golden/" + name;
}

inline nlohmann::json golden_json(const std::string& name) {
  std::ifstream file(golden_path(name));
  EXPECT_TRUE(file) << "cannot read " << golden_path(name);
  return nlohmann::json::parse(file);
}

// Values of a tensor of any stored type as floats.
inline std::vector<float> floats_of(const Tensor& t) {
  std::vector<float> out;
  const std::int64_t width = t.row_width();
  for (std::int64_t r = 0; r < t.rows(); ++r) {
    for (std::int64_t c = 0; c < width; ++c) {
      const std::int64_t i = r * t.row_stride + c;
      switch (t.type) {
        case DType::f32: out.push_back(static_cast<const float*>(t.data)[i]); break;
        case DType::bf16: out.push_back(to_float(static_cast<const bf16*>(t.data)[i])); break;
        case DType::u8: out.push_back(static_cast<const std::uint8_t*>(t.data)[i]); break;
        case DType::i32:
          out.push_back(static_cast<float>(static_cast<const std::int32_t*>(t.data)[i]));
          break;
        default: out.push_back(static_cast<float>(static_cast<const std::int64_t*>(t.data)[i]));
      }
    }
  }
  return out;
}

class GoldenTensors {
 public:
  explicit GoldenTensors(const std::string& name)
      : file_(golden_path(name)), entries_(parse_safetensors(file_.bytes(), name)) {}
  bool has(const std::string& name) const { return entries_.count(name) > 0; }
  Tensor view(const std::string& name) const { return entries_.at(name).view(); }
  std::vector<float> floats(const std::string& name) const { return floats_of(view(name)); }
  std::vector<std::int64_t> integers(const std::string& name) const {
    const Tensor t = view(name);
    const auto* data = t.as<std::int64_t>();
    return {data, data + t.shape.count()};
  }

 private:
  MappedFile file_;
  std::map<std::string, TensorEntry> entries_;
};

// |a - b| / |b|, both as vectors.
inline double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    error += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return std::sqrt(error / std::max(norm, 1e-300));
}

}  // namespace qwenvl::testing
