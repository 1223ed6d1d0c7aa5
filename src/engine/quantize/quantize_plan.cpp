// Names → roles → packings.
#include "engine/quantize/quantize_plan.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "engine/quantize/input_moment.h"

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

int number_after(std::string_view name, std::string_view prefix) {
  int number = 0;
  std::from_chars(name.data() + prefix.size(), name.data() + name.size(), number);
  return number;
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

int layer_of(std::string_view name) {
  // A model has far fewer layers than lie between.
  constexpr int kMergerLayer = 100'000, kFirstDecoderLayer = 100'001;
  if (name.starts_with(kBlocks)) return std::min(number_after(name, kBlocks), kMergerLayer - 1);
  if (name.starts_with(kMerger)) return kMergerLayer;
  if (name.starts_with(kLayers)) return kFirstDecoderLayer + number_after(name, kLayers);
  return -1;
}

std::string layer_prefix(std::string_view name) {
  std::size_t end = 0;
  for (int part = 0; part < 3 && end != std::string_view::npos; ++part) {
    end = name.find('.', end == 0 ? 0 : end + 1);
  }
  return std::string(name.substr(0, end == std::string_view::npos ? end : end + 1));
}

std::uint64_t PlannedTensor::bytes() const {
  const Shape& shape = stored->shape();
  return packing == Packing::none
             ? static_cast<std::uint64_t>(shape.count()) * size_of(plain_type)
             : static_cast<std::uint64_t>(packed_bytes(packing, shape[0], shape[1]));
}

std::vector<PlannedTensor> plan_tensors(const WeightSource& source, const Preset& preset) {
  std::vector<PlannedTensor> tensors;
  for (const auto& [name, stored] : source.tensors()) {
    PlannedTensor tensor{name, stored.get(), packing_for(preset, role_of(name, stored->shape()))};
    // Vectors keep their precision; a matrix of float32 would double the file for nothing.
    if (stored->shape().rank() < 2 && stored->format() != "bf16") tensor.plain_type = DType::f32;
    tensor.layer = layer_of(name);
    tensors.push_back(tensor);
  }
  const auto place = [](const PlannedTensor& tensor) {
    // What runs in no layer, the vocabulary, comes after all packed layers.
    return std::pair(tensor.packing == Packing::none, static_cast<unsigned>(tensor.layer));
  };
  std::stable_sort(tensors.begin(), tensors.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });
  return tensors;
}

std::span<const PlannedTensor> calibrated_together(std::span<const PlannedTensor> tensors,
                                                   std::uint64_t max_bytes) {
  std::size_t end = 0;
  std::uint64_t bytes = 0;
  while (end < tensors.size() && tensors[end].takes_calibration()) {
    std::size_t next = end;
    for (; next < tensors.size() && tensors[next].takes_calibration() &&
           tensors[next].layer == tensors[end].layer;
         ++next) {
      bytes += InputMoment::bytes_for(tensors[next].stored->row_width());
    }
    if (end > 0 && bytes > max_bytes) break;
    end = next;
  }
  return tensors.first(end);
}

double sum_of_squares(const float* numbers, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += double{numbers[i]} * numbers[i];
  return sum;
}

double read_finite_rows(const PlannedTensor& tensor, std::int64_t first, std::int64_t n,
                        float* rows) {
  tensor.stored->read_rows(first, n, rows);
  const double squares = sum_of_squares(rows, n * tensor.stored->row_width());
  if (!std::isfinite(squares)) {
    fail(ErrorKind::bad_file,
         "{}: rows {} to {} hold a number that is not finite, expected weights",
         quoted(tensor.name), first, first + n - 1);
  }
  return squares;
}

}  // namespace qwenvl
