// Quantised matrices of Hugging Face folders, one function per layout.
// Before: folder_source.cpp found the module and knows the scheme.   After: rows of float32.
// All throw bad_file when a part is missing or of another type or shape than the others imply, and
// none reads more of the weights than that needs.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/foreign/module_tensors.h"
#include "checkpoint/foreign/scheme.h"
#include "checkpoint/stored_tensor.h"

namespace qwenvl {

using StoredTensorPointer = std::unique_ptr<const StoredTensor>;

// <module>.{qweight, qzeros, scales} packed along the outputs, in an interleaved order.
StoredTensorPointer read_awq(const ModuleTensors& parts, const QuantizationScheme& scheme);
// <module>.{qweight, qzeros, scales, g_idx} packed along the inputs.
StoredTensorPointer read_gptq(const ModuleTensors& parts, const QuantizationScheme& scheme);
// <module>.weight and .weight.{absmax, quant_map, quant_state.bitsandbytes__*}, nested or not. The
// prefix ends with "weight.".
StoredTensorPointer read_bitsandbytes_4bit(const ModuleTensors& parts, const TensorEntry& weight,
                                           const std::string& quant_type);
// <module>.{weight, SCB}: bytes and a scale per output.
StoredTensorPointer read_bitsandbytes_8bit(const ModuleTensors& parts);

}  // namespace qwenvl
