// Which tensor of a model becomes what.
// Before: quantize.cpp or open_checkpoint.cpp has opened the source.   After: they convert one
// tensor after the other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/weight_source.h"
#include "formats/packed.h"

namespace qwenvl {

// What each part of a model is packed as.
struct Preset {
  const char* name;
  Packing vision, decoder, small_decoder, vocabulary;
};
// Throws bad_request; `option` names what was set, for the message.
const Preset& preset_named(const std::string& name, const char* option = "format");

struct PlannedTensor {
  std::string name;
  const StoredTensor* stored = nullptr;
  Packing packing = Packing::none;
  DType plain_type = DType::bf16;  // of a tensor that stays plain

  std::uint64_t bytes() const;
};

// Packed tensors first: their sizes are multiples of 64, so that all begin at one.
std::vector<PlannedTensor> plan_tensors(const WeightSource& source, const Preset& preset);

// ---- the numbers of a tensor, however it is written --------------------------------------------

// Rows as float32; returns the sum of their squares. Throws bad_file for numbers that are not
// finite.
double read_finite_rows(const PlannedTensor& tensor, std::int64_t first, std::int64_t n,
                        float* rows);

}  // namespace qwenvl
