// Names → roles → packings.
#include "engine/quantize_plan.h"

#include <cmath>
#include <string_view>

#include "core/check.h"

namespace qwenvl {
namespace {

enum class Role { vision_matrix, decoder_matrix, small_decoder_matrix, vocabulary, other };

constexpr std::string_view kBlocks = "visual.blocks.", kMerger = "visual.merger.mlp.",
                           kLayers = "model.layers.";

Role role_of(const std::string& name, const Shape& shape) {
  if (shape.rank() != 2) return Role::other;
  if (name == "model.embed_tokens.weight" || name == "lm_head.weight") return Role::vocabulary;
  if (name.starts_with(kBlocks) || name.starts_with(kMerger)) return Role::vision_matrix;
  if (!name.starts_with(kLayers)) return Role::other;
  // Keys and values are a hundredth of a layer, and every later token depends on them.
  if (name.ends_with(".k_proj.weight") || name.ends_with(".v_proj.weight")) {
    return Role::small_decoder_matrix;
  }
  return Role::decoder_matrix;
}

constexpr Preset kPresets[] = {
    {"bf16", Packing::none, Packing::none, Packing::none, Packing::none},
    {"int8", Packing::int8, Packing::int8_grouped, Packing::int8_grouped, Packing::int8_grouped},
    {"int4", Packing::int8, Packing::int4, Packing::int8_grouped, Packing::int8_grouped},
    {"int4-small", Packing::int8, Packing::int4, Packing::int4, Packing::int4},
};

Packing packing_for(const Preset& preset, Role role) {
  switch (role) {
    case Role::vision_matrix: return preset.vision;
    case Role::decoder_matrix: return preset.decoder;
    case Role::small_decoder_matrix: return preset.small_decoder;
    case Role::vocabulary: return preset.vocabulary;
    case Role::other: return Packing::none;
  }
  return Packing::none;
}

}  // namespace

const Preset& preset_named(const std::string& name, const char* option) {
  std::string known;
  for (const Preset& preset : kPresets) {
    if (name == preset.name) return preset;
    known += (known.empty() ? "" : ", ") + std::string(preset.name);
  }
  fail(ErrorKind::bad_request, "{}: found {}, expected one of {}", option, quoted(name), known);
}

std::uint64_t PlannedTensor::bytes() const {
  const Shape& shape = stored->shape();
  return packing == Packing::none
             ? static_cast<std::uint64_t>(shape.count()) * size_of(plain_type)
             : static_cast<std::uint64_t>(packed_bytes(packing, shape[0], shape[1]));
}

std::vector<PlannedTensor> plan_tensors(const WeightSource& source, const Preset& preset) {
  std::vector<PlannedTensor> packed, plain;
  for (const auto& [name, stored] : source.tensors()) {
    PlannedTensor tensor{name, stored.get(), packing_for(preset, role_of(name, stored->shape()))};
    // Vectors keep their precision; a matrix of float32 would double the file for nothing.
    if (stored->shape().rank() < 2 && stored->format() != "bf16") tensor.plain_type = DType::f32;
    (tensor.packing == Packing::none ? plain : packed).push_back(tensor);
  }
  packed.insert(packed.end(), plain.begin(), plain.end());
  return packed;
}

double read_finite_rows(const PlannedTensor& tensor, std::int64_t first, std::int64_t n,
                        float* rows) {
  tensor.stored->read_rows(first, n, rows);
  double squares = 0;
  for (std::int64_t i = 0; i < n * tensor.stored->row_width(); ++i) {
    squares += double{rows[i]} * rows[i];
  }
  if (!std::isfinite(squares)) {
    fail(ErrorKind::bad_file,
         "{}: rows {} to {} hold a number that is not finite, expected weights",
         quoted(tensor.name), first, first + n - 1);
  }
  return squares;
}

}  // namespace qwenvl
