// How a Hugging Face folder says its weights are quantised.
// Before: config.json.   After: folder_source.cpp builds the tensors of that method.
#pragma once

#include <cstdint>
#include <string>

namespace qwenvl {

struct QuantizationScheme {
  enum class Method { none, awq, gptq, bitsandbytes } method = Method::none;
  int bits = 16;
  std::int64_t group_size = -1;     // input columns that share a scale; -1: all
  bool zeros_are_one_less = false;  // GPTQ's first format stores zero - 1
};

// From config.json's quantization_config, or from quantize_config.json ("" when there is none),
// which older GPTQ tools write. Throws bad_file or unsupported.
QuantizationScheme parse_quantization(const std::string& config_json,
                                      const std::string& quantize_json, const std::string& where);

}  // namespace qwenvl
