// qwenvl quantize: a checkpoint in 8 or 4 bits a number, with a report of what it cost.
#include "qwenvl/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "command.h"
#include "json_text.h"
#include "model_choice.h"
#include "options.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string model, projector, out, format = "int4", report;
  int n_threads = 0;
  bool skips_check = false;
};

constexpr const char* kExamples = R"(Formats:
  int4        decoder in 4.25 bits a number, head and vision tower in 8 (the smallest error per byte)
  int4-small  head in 4.25 bits, too
  int8        everything in 8 bits
  bf16        16 bits, as qwenvl convert writes
Examples:
  qwenvl quantize Qwen/Qwen2.5-VL-3B-Instruct qwen-int4
  qwenvl quantize model-folder model-int8 --format int8 --report report.json
  qwenvl quantize model-Q4_K_M.gguf qwen-int4     # with its mmproj file beside it
  qwenvl ask --model qwen-int4 photo.jpg "What is this?")";

std::string megabytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

// "model.layers.17.mlp.up_proj.weight" → "decoder mlp.up_proj"
std::string group_of(const std::string& name) {
  if (name.starts_with("model.layers.") || name.starts_with("visual.blocks.")) {
    const std::string rest = name.substr(name.find('.', 14) + 1);
    return (name[0] == 'm' ? "decoder " : "vision ") + rest.substr(0, rest.rfind('.'));
  }
  return name;
}

struct Group {
  std::string packing;
  std::uint64_t bytes = 0;
  int count = 0;
  double least = 1e30, most = 0;
};

// Matrices of the same kind in one line.
std::string table_of(const QuantizeReport& report) {
  std::map<std::string, Group> groups;
  for (const QuantizedTensor& tensor : report.tensors) {
    if (tensor.relative_error == 0) continue;
    Group& group = groups[group_of(tensor.name) + " " + tensor.packing];
    group.packing = tensor.packing;
    group.bytes += tensor.bytes;
    group.count += 1;
    group.least = std::min(group.least, tensor.relative_error);
    group.most = std::max(group.most, tensor.relative_error);
  }
  if (groups.empty()) return "";
  std::string text =
      fmt::format("{:<44} {:>5} {:>11}  relative error\n", "matrices", "count", "size");
  for (const auto& [name, group] : groups) {
    text += fmt::format("{:<44} {:>5} {:>11}  {:.4f} to {:.4f}\n", name, group.count,
                        megabytes(group.bytes), group.least, group.most);
  }
  return text;
}

Json json_of(const Options& options, const QuantizeReport& report,
             const ModelComparison* comparison) {
  Json json = {{"format", options.format},

               {"bytes", report.bytes},
               {"seconds", report.seconds}};
  if (comparison) {
    json["against_original"] = {{"prompts", comparison->n_prompts},
                                {"mean_kl", comparison->mean_kl},
                                {"largest_kl", comparison->largest_kl},
                                {"top1_agreement", comparison->top1_agreement}};
  }
  json["tensors"] = Json::array();
  for (const QuantizedTensor& tensor : report.tensors) {
    json["tensors"].push_back({{"name", tensor.name},
                               {"packing", tensor.packing},
                               {"shape", tensor.shape},
                               {"before", tensor.before},
                               {"bytes", tensor.bytes},
                               {"relative_error", tensor.relative_error}});
  }
  return json;
}

bool is_converted(const QuantizeReport& report) {
  return std::any_of(report.tensors.begin(), report.tensors.end(), [](const QuantizedTensor& t) {
    return t.before != "bf16" && t.before != "f16" && t.before != "f32";
  });
}

int run_quantize(const Options& options, bool is_json) {
  const std::string model = chosen_model(options.model);
  Progress line;
  const QuantizeReport report =
      quantize({model, options.out, options.format, options.n_threads, options.projector},
               percentage(line, "quantize"));
  ModelComparison comparison;
  bool has_comparison = false;
  // Other programs' quantised files have no original to ask.
  if (!options.skips_check && !is_converted(report)) {
    has_comparison = true;
    comparison = compare_models(model, options.out, options.n_threads, [&](int done, int total) {
      line.show(fmt::format("compare {} of {} prompts", done, total));
    });
  }
  line.clear();
  const Json json = json_of(options, report, has_comparison ? &comparison : nullptr);
  if (!options.report.empty()) {
    std::ofstream file(options.report);
    file << json.dump(1) << "\n";
    file.close();
    if (!file) throw Error(ErrorKind::device, options.report + ": cannot be written");
  }
  if (is_json) {
    write_output(json_text(json) + "\n");
    return kExitOk;
  }
  std::string text = table_of(report);
  text += fmt::format("{}: {} in {:.1f} s\n", options.out, megabytes(report.bytes), report.seconds);
  if (has_comparison) {
    text += fmt::format(
        "against the original on {} prompts: KL {:.4f} nats (largest {:.4f}), same first token "
        "{:.1f} "
        "%\n",
        comparison.n_prompts, comparison.mean_kl, comparison.largest_kl,
        100 * comparison.top1_agreement);
  }
  write_output(text);
  return kExitOk;
}

}  // namespace

void add_quantize(CLI::App& program, Chosen& chosen) {
  CLI::App& command = *program.add_subcommand("quantize", "Store a model in 8 or 4 bits a number");
  command.footer(kExamples);
  auto options = std::make_shared<Options>();
  command
      .add_option(
          "MODEL", options->model,
          "A model folder (plain, AWQ, GPTQ, bitsandbytes), a .gguf file, or org/name in the "
          "cache")
      ->required()
      ->type_name("");
  command.add_option("OUT", options->out, "The folder to write; it must not exist")
      ->required()
      ->type_name("");
  add_projector_option(command, options->projector);
  command.add_option("--format", options->format, "bf16, int8, int4 or int4-small")
      ->capture_default_str();
  command.add_option("--threads", options->n_threads, "0: every core")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command.add_option("--report", options->report, "Write sizes and errors of all tensors as JSON")
      ->type_name("FILE");
  command.add_flag("--no-check", options->skips_check,
                   "Do not compare the answers of both models afterwards");
  command.add_flag("--json", chosen.is_json_wanted, "One JSON object");
  command.callback([=, &chosen] {
    chosen.run = [=, &chosen] { return run_quantize(*options, chosen.is_json_wanted); };
  });
}

}  // namespace qwenvl::cli
