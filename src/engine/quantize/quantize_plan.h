// Which tensor of a model becomes what, and in which order.
// Before: quantize.cpp or open_checkpoint.cpp has opened the source.   After: they convert one
// tensor after the other.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
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
  int layer = -1;                  // layer_of(name)

  // Rounded with regard to its inputs where these are known. Embeddings are looked up, and a head
  // is often the same matrix: both are rounded for themselves.
  bool takes_calibration() const { return packing != Packing::none && layer >= 0; }
  std::uint64_t bytes() const;
};

// Numbers that grow in the order of execution, from a tensor's name; -1: in no layer.
int layer_of(std::string_view name);
// What the names of all tensors of the same layer begin with, "model.layers.7.".
std::string layer_prefix(std::string_view name);

// Packed tensors first (their sizes are multiples of 64, so that all begin at one), in the order in
// which the network uses them.
std::vector<PlannedTensor> plan_tensors(const WeightSource& source, const Preset& preset);

// The first of these tensors, as many whole layers as have moments of at most `max_bytes`, but at
// least one layer.
std::span<const PlannedTensor> calibrated_together(std::span<const PlannedTensor> tensors,
                                                   std::uint64_t max_bytes);

// ---- the numbers of a tensor, however it is written --------------------------------------------

double sum_of_squares(const float* numbers, std::int64_t n);
// Rows as float32; returns the sum of their squares. Throws bad_file for numbers that are not
// finite.
double read_finite_rows(const PlannedTensor& tensor, std::int64_t first, std::int64_t n,
                        float* rows);

}  // namespace qwenvl
