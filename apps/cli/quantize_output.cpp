// What quantize has done, as a table and as JSON.
#include "quantize_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace qwenvl::cli {

using Json = nlohmann::ordered_json;

namespace {

struct Group {
  std::string packing;
  std::uint64_t bytes = 0;
  int count = 0;
  double least = 1e30, most = 0;
};

std::string megabytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

// Matrices of the same kind in one line.
std::string groups_of(const QuantizeReport& report) {
  std::map<std::string, Group> groups;
  for (const QuantizedTensor& tensor : report.tensors) {
    if (tensor.relative_error == 0) continue;
    Group& group = groups[kind_of(tensor.name) + " " + tensor.packing];
    group.packing = tensor.packing;
    group.bytes += tensor.bytes;
    group.count += 1;
    group.least = std::min(group.least, tensor.relative_error);
    group.most = std::max(group.most, tensor.relative_error);
  }
  if (groups.empty()) return "";
  std::string text = fmt::format("{:<44} {:>5} {:>11}  relative error of the weights\n", "matrices",
                                 "count", "size");
  for (const auto& [name, group] : groups) {
    text += fmt::format("{:<44} {:>5} {:>11}  {:.4f} to {:.4f}\n", name, group.count,
                        megabytes(group.bytes), group.least, group.most);
  }
  return text;
}

Json json_of(const ModelComparison& comparison) {
  Json json = {{"prompts", comparison.prompts.size()},
               {"mean_kl", comparison.mean_kl},
               {"largest_kl", comparison.largest_kl},
               {"top1_agreement", comparison.top1_agreement},
               {"each", Json::array()}};
  for (const PromptComparison& one : comparison.prompts) {
    json["each"].push_back({{"prompt", one.prompt},
                            {"picture", one.has_picture},
                            {"kl", one.kl},
                            {"same_token", one.is_same_token}});
  }
  return json;
}

}  // namespace

std::string kind_of(const std::string& tensor) {
  if (!tensor.starts_with("model.layers.") && !tensor.starts_with("visual.blocks.")) return tensor;
  const std::string rest = tensor.substr(tensor.find('.', 14) + 1);
  return (tensor[0] == 'm' ? "decoder " : "vision ") + rest.substr(0, rest.rfind('.'));
}

std::string table_of(const QuantizeSummary& summary) {
  const QuantizeReport& report = summary.report;
  std::string text = groups_of(report);
  if (report.n_calibration_items > 0) {
    text += fmt::format("calibrated on {} items, {} tokens\n", report.n_calibration_items,
                        report.n_calibration_tokens);
  }
  text += fmt::format("{}: {} in {:.1f} s\n", summary.out, megabytes(report.bytes), report.seconds);
  if (summary.comparison) {
    text += fmt::format(
        "against the original on {} prompts: KL {:.4f} nats (largest {:.4f}), same first token "
        "{:.1f} %\n",
        summary.comparison->prompts.size(), summary.comparison->mean_kl,
        summary.comparison->largest_kl, 100 * summary.comparison->top1_agreement);
  }
  return text;
}

Json json_of(const QuantizeSummary& summary) {
  const QuantizeReport& report = summary.report;
  Json json = {{"format", summary.format}, {"bytes", report.bytes}, {"seconds", report.seconds}};
  if (report.n_calibration_items > 0) {
    json["calibration"] = {{"items", report.n_calibration_items},
                           {"tokens", report.n_calibration_tokens}};
  }
  if (summary.comparison) json["against_original"] = json_of(*summary.comparison);
  json["tensors"] = Json::array();
  for (const QuantizedTensor& tensor : report.tensors) {
    json["tensors"].push_back({{"name", tensor.name},
                               {"packing", tensor.packing},
                               {"shape", tensor.shape},
                               {"before", tensor.before},
                               {"bytes", tensor.bytes},
                               {"calibrated", tensor.is_calibrated},
                               {"relative_error", tensor.relative_error}});
  }
  return json;
}

}  // namespace qwenvl::cli
