// qwenvl inspect: what a checkpoint is, and what this machine will run it with.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "command.h"
#include "json_text.h"
#include "model_choice.h"
#include "options.h"
#include "qwenvl/tools.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

using Json = nlohmann::ordered_json;

struct InspectOptions {
  EngineOptions engine;  // model, projector, weights
  bool lists_tensors = false;
};

constexpr const char* kExamples = R"(Examples:
  qwenvl inspect
  qwenvl inspect Qwen/Qwen2.5-VL-3B-Instruct
  qwenvl inspect ./my-checkpoint --tensors
  qwenvl inspect model-Q4_K_M.gguf         # with its mmproj file beside it
  qwenvl inspect cpu
  qwenvl inspect ./my-checkpoint --json | jq .parameters

Every tensor's name, type and shape is checked: a checkpoint that inspects without an error loads.
A folder named cpu or demo is written ./cpu or ./demo.)";

// "7.5 GB", decimal as disks are sold.
std::string size_text(std::uint64_t bytes) {
  if (bytes >= 1'000'000'000) return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
  if (bytes >= 1'000'000) return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
  return fmt::format("{} bytes", bytes);
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

Json json_of(const MachineSummary& machine) {
  Json kernels = Json::array();
  for (const KernelSummary& kernel : machine.kernels) {
    kernels.push_back({{"name", kernel.name},
                       {"usable", kernel.is_usable},
                       {"chosen", kernel.is_chosen},
                       {"reason", kernel.reason}});
  }
  return {{"cpu", machine.cpu},
          {"cores", machine.cores},
          {"memory_bytes", machine.memory_bytes},
          {"available_bytes", machine.available_bytes},
          {"backend", machine.backend},
          {"kernels", std::move(kernels)}};
}

Json json_of(const ModelSummary& model) {
  Json facts = Json::object();
  for (const auto& [name, value] : model.facts) facts[name] = value;
  Json tensors = Json::array();
  for (const TensorSummary& tensor : model.tensors) {
    tensors.push_back({{"name", tensor.name},
                       {"type", tensor.type},
                       {"stored_as", tensor.stored_as},
                       {"shape", tensor.shape},
                       {"bytes", tensor.bytes},
                       {"file", tensor.file}});
  }
  return {{"folder", model.folder},         {"architecture", model.architecture},
          {"parameters", model.parameters}, {"bytes", model.bytes},
          {"facts", std::move(facts)},      {"tensors", std::move(tensors)}};
}

void print_row(const std::string& name, const std::string& value) {
  write_output(fmt::format("{:<28} {}\n", printable(name), printable(value)));
}

void print(const MachineSummary& machine) {
  print_row("processor", machine.cpu);
  print_row("cores for this process", fmt::format("{}", machine.cores));
  print_row("memory", fmt::format("{}, {} available", size_text(machine.memory_bytes),
                                  size_text(machine.available_bytes)));
  print_row("back end", machine.backend);
  for (const KernelSummary& kernel : machine.kernels) {
    const std::string state = kernel.is_chosen   ? "chosen"
                              : kernel.is_usable ? "usable"
                                                 : kernel.reason;
    print_row("kernels " + kernel.name, state);
  }
}

// "Q4_K 180, F32 301, …", the most numbers first.
std::string formats_of(const ModelSummary& model, std::string TensorSummary::*format) {
  struct Use {
    int n_tensors = 0;
    double n_numbers = 0;
  };
  std::map<std::string, Use> uses;
  for (const TensorSummary& tensor : model.tensors) {
    Use& use = uses[tensor.*format];
    ++use.n_tensors;
    use.n_numbers +=
        std::accumulate(tensor.shape.begin(), tensor.shape.end(), 1.0, std::multiplies<double>());
  }
  std::vector<std::pair<std::string, Use>> sorted(uses.begin(), uses.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second.n_numbers > b.second.n_numbers;
  });
  std::string text;
  for (const auto& [name, use] : sorted) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, use.n_tensors);
  }
  return text;
}

void print(const ModelSummary& model, bool lists_tensors) {
  print_row("folder", model.folder);
  print_row("architecture", model.architecture);
  for (const auto& [name, value] : model.facts) print_row(name, value);
  print_row("parameters", fmt::format("{}", model.parameters));
  print_row("tensors", fmt::format("{}, {}", model.tensors.size(), size_text(model.bytes)));
  const std::string stored = formats_of(model, &TensorSummary::stored_as);
  const std::string loaded = formats_of(model, &TensorSummary::type);
  print_row("stored as", stored);
  if (loaded != stored) print_row("converted while loading to", loaded);
  if (!lists_tensors) return;
  write_output("\n");
  std::size_t width = 0, format_width = 0;
  for (const TensorSummary& tensor : model.tensors) {
    width = std::max(width, tensor.name.size());
    format_width = std::max(format_width, tensor.stored_as.size());
  }
  for (const TensorSummary& tensor : model.tensors) {
    write_output(fmt::format("{:<{}}  {:<{}}  {:<20} {:>12}  {}\n", printable(tensor.name), width,
                             printable(tensor.stored_as), format_width, shape_text(tensor.shape),
                             tensor.bytes, printable(tensor.file)));
  }
}

int run_inspect(const InspectOptions& options, bool is_json) {
  const MachineSummary machine = inspect_machine();
  if (options.engine.model == "cpu") {
    if (options.lists_tensors) {
      throw Error(ErrorKind::bad_request, "--tensors: a processor has none; name a checkpoint");
    }
    if (is_json) {
      write_output(json_text(json_of(machine)) + "\n");
    } else {
      print(machine);
    }
    return kExitOk;
  }
  EngineOptions engine = options.engine;
  engine.model = chosen_model(engine.model);
  const ModelSummary model = inspect_model(engine);
  if (is_json) {
    Json out = json_of(model);
    out["machine"] = json_of(machine);
    write_output(json_text(out) + "\n");
    return kExitOk;
  }
  print(model, options.lists_tensors);
  write_output("\nThis machine\n");
  print(machine);
  if (model.bytes > machine.available_bytes) {
    note(fmt::format(
        "The weights ({}) are larger than the memory available ({}): they would be read "
        "from disk again and again.",
        size_text(model.bytes), size_text(machine.available_bytes)));
  }
  return kExitOk;
}

}  // namespace

void add_inspect(CLI::App& program, Chosen& chosen) {
  CLI::App& command =
      *program.add_subcommand("inspect", "Show what a checkpoint is, or what this machine can do");
  command.footer(kExamples);
  auto options = std::make_shared<InspectOptions>();
  command
      .add_option("MODEL", options->engine.model,
                  "Folder, .gguf file, repository id in the Hugging Face cache, demo, or: cpu "
                  "(unset: the model that ask would use)")
      ->envname(kModelVariable)
      ->check(model_name())
      ->type_name("");
  add_weight_options(command, options->engine);
  command.add_flag("--tensors", options->lists_tensors, "List every tensor (--json always does)");
  command.add_flag("--json", chosen.is_json_wanted, "One JSON object");
  command.callback([options, &chosen] {
    chosen.run = [options, &chosen] { return run_inspect(*options, chosen.is_json_wanted); };
  });
}

}  // namespace qwenvl::cli
