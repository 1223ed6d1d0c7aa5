// qwenvl convert: another program's files as a published folder in bf16.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "command.h"
#include "json_text.h"
#include "model_choice.h"
#include "options.h"
#include "qwenvl/quantize.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

struct Options {
  std::string model, projector, out;
  int n_threads = 0;
};

constexpr const char* kExamples = R"(Examples:
  qwenvl convert model-AWQ model-bf16
  qwenvl convert model-Q4_K_M.gguf model-bf16              # with its mmproj file beside it
  qwenvl convert model.gguf model-bf16 --projector mmproj-model-f16.gguf

What comes out is laid out as the published models are: config.json, model.safetensors in bf16, the
tokenizer and what else belongs to it; other programs open it as they open those. What rounding to
fewer bits lost does not come back. To use the files with qwenvl only, there is no need to convert
them: every command opens them as they are.)";

int run_convert(const Options& options, bool is_json) {
  Progress line;
  const QuantizeReport report = quantize({.model = chosen_model(options.model),
                                          .out = options.out,
                                          .format = "bf16",
                                          .n_threads = options.n_threads,
                                          .projector = options.projector},
                                         percentage(line, "convert"));
  line.clear();
  if (is_json) {
    write_output(json_text({{"out", options.out},
                            {"tensors", report.tensors.size()},
                            {"bytes", report.bytes},
                            {"seconds", report.seconds}}) +
                 "\n");
  } else {
    write_output(fmt::format("{}: {} tensors, {:.1f} MB in {:.1f} s\n", printable(options.out),
                             report.tensors.size(), static_cast<double>(report.bytes) / 1e6,
                             report.seconds));
  }
  return kExitOk;
}

}  // namespace

void add_convert(CLI::App& program, Chosen& chosen) {
  CLI::App& command = *program.add_subcommand(
      "convert", "Write AWQ, GPTQ, bitsandbytes or GGUF files as a published folder");
  command.footer(kExamples);
  auto options = std::make_shared<Options>();
  command
      .add_option("MODEL", options->model,
                  "Folder, .gguf file, or repository id in the Hugging Face cache")
      ->required()
      ->check(model_name())
      ->type_name("");
  command.add_option("OUT", options->out, "The folder to write; it must not exist")
      ->required()
      ->type_name("");
  add_projector_option(command, options->projector);
  command.add_option("--threads", options->n_threads, "0: every core this process may use")
      ->check(whole(0, 1000))
      ->capture_default_str();
  command.add_flag("--json", chosen.is_json_wanted, "One JSON object");
  command.callback([options, &chosen] {
    chosen.run = [options, &chosen] { return run_convert(*options, chosen.is_json_wanted); };
  });
}

}  // namespace qwenvl::cli
