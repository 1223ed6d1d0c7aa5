// How a quantised model is reported: as a table, as JSON, as a plot.
// Before: quantize.cpp has written and compared it.   After: the terminal and files.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "qwenvl/quantize.h"

namespace qwenvl::cli {

struct QuantizeSummary {
  std::string model, out, format;
  QuantizeReport report;
  std::optional<ModelComparison> comparison;
};

std::string table_of(const QuantizeSummary& summary);
nlohmann::ordered_json json_of(const QuantizeSummary& summary);
// SVG: the relative error of each layer's matrices, and the divergence of each prompt.
std::string plot_of(const QuantizeSummary& summary);

// "model.layers.17.mlp.up_proj.weight" → "decoder mlp.up_proj"; other names stay.
std::string kind_of(const std::string& tensor);

}  // namespace qwenvl::cli
