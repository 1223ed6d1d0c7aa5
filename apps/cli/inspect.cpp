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
  EngineOptions engine;
  PlannedRequest request;  // its picture: below
  std::string picture = "512x512";
  bool lists_tensors = false;
};

constexpr const char* kExamples = R"(Examples:
  qwenvl inspect
  qwenvl inspect Qwen/Qwen2.5-VL-3B-Instruct
  qwenvl inspect ./my-checkpoint --tensors
  qwenvl inspect model-Q4_K_M.gguf         # with its mmproj file beside it
  qwenvl inspect ./my-checkpoint --plan-tokens 8192 --plan-picture 1920x1080 --memory low
  qwenvl inspect cpu
  qwenvl inspect ./my-checkpoint --json | jq .parameters

Every tensor's name, type and shape is checked: a checkpoint that inspects without an error loads.
The memory that a request of the planned size takes is added up from the sizes of weights and
activations; nothing is computed. With --max-memory the exit code is 5 where it does not fit.
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

Json json_of(const MemoryPlan& plan) {
  return {{"tokens", plan.request.n_tokens},
          {"picture", {plan.request.width, plan.request.height}},
          {"processed", {plan.processed_width, plan.processed_height}},
          {"mode", name_of(plan.mode)},
          {"weights_converted", plan.is_converted},
          {"process", plan.process},
          {"libraries", plan.libraries},
          {"vision_weights", plan.vision_weights},
          {"decoder_weights", plan.decoder_weights},
          {"embedding_weights", plan.embedding_weights},
          {"head_weights", plan.head_weights},
          {"kv_cache", plan.kv_cache},
          {"kv_cache_type", plan.kv_cache_type},
          {"pixels", plan.pixels},
          {"features", plan.features},
          {"encode_scratch", plan.encode_scratch},
          {"prefill_scratch", plan.prefill_scratch},
          {"encode_peak", plan.encode_peak},
          {"decode_peak", plan.decode_peak},
          {"peak", plan.peak()},
          {"limit", plan.limit},
          {"fits", plan.fits()}};
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

void refuse_what_does_not_fit(const MemoryPlan& plan) {
  if (plan.fits()) return;
  throw Error(
      ErrorKind::out_of_memory,
      fmt::format("--max-memory {}: the planned request takes up to {}; plan fewer tokens or "
                  "a smaller picture, or try {} or --kv-cache int8",
                  size_text(static_cast<std::uint64_t>(plan.limit)),
                  size_text(static_cast<std::uint64_t>(plan.peak())),
                  plan.is_converted && plan.mode != MemoryMode::copied ? "--weights int4"
                                                                       : "--memory low"));
}

// "512x512", or "none".
void set_picture(PlannedRequest& request, const std::string& text) {
  const std::size_t cross = text.find('x');
  if (text == "none") {
    request.width = request.height = 0;
    return;
  }
  const std::string place = "--plan-picture";
  const auto side = [&](const std::string& part) {
    const std::int64_t value = parse_integer(part, place);
    if (value < 1 || value > 65535)
      throw Error(ErrorKind::bad_request,
                  fmt::format("{}: found {}, expected 1 to 65535", place, value));
    return static_cast<int>(value);
  };
  if (cross == std::string::npos) {
    throw Error(ErrorKind::bad_request,
                fmt::format("{}: found '{}', expected WIDTHxHEIGHT or none", place, text));
  }
  request.width = side(text.substr(0, cross));
  request.height = side(text.substr(cross + 1));
}

int run_inspect(const InspectOptions& options, bool is_json) {
  const MachineSummary machine = inspect_machine();
  EngineOptions engine = options.engine;
  if (engine.model == "cpu") {
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
  engine.model = chosen_model(engine.model);
  const ModelSummary model = inspect_model(engine);
  PlannedRequest request = options.request;
  set_picture(request, options.picture);
  const MemoryPlan plan = plan_memory(engine, request);
  if (is_json) {
    Json out = json_of(model);
    out["memory"] = json_of(plan);
    out["machine"] = json_of(machine);
    write_output(json_text(out) + "\n");
    refuse_what_does_not_fit(plan);
    return kExitOk;
  }
  print(model, options.lists_tensors);
  write_output("\nMemory for one request\n" + table_of(plan));
  write_output("\nThis machine\n");
  print(machine);
  if (model.bytes > machine.available_bytes) {
    note(fmt::format("The weights ({}) are larger than the memory available ({}): they would {}.",
                     size_text(model.bytes), size_text(machine.available_bytes),
                     plan.is_converted ? "not fit when they are converted"
                                       : "be read from disk again and again"));
  }
  refuse_what_does_not_fit(plan);
  return kExitOk;
}

void add_plan_options(CLI::App& command, InspectOptions& options) {
  const std::string group = "The request that memory is planned for";
  command.add_option("--plan-tokens", options.request.n_tokens, "Prompt, picture and answer")
      ->check(whole(1))
      ->capture_default_str()
      ->group(group);
  command.add_option("--plan-picture", options.picture, "Size of the picture, or: none")
      ->capture_default_str()
      ->type_name("WxH")
      ->group(group);
  add_memory_options(command, options.engine);
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
  add_plan_options(command, *options);
  command.add_flag("--json", chosen.is_json_wanted, "One JSON object");
  command.callback([options, &chosen] {
    chosen.run = [options, &chosen] { return run_inspect(*options, chosen.is_json_wanted); };
  });
}

}  // namespace qwenvl::cli
