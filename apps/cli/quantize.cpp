// qwenvl quantize: a checkpoint in 8 or 4 bits a number, with a report of what it cost.
#include "qwenvl/quantize.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "command.h"
#include "json_text.h"
#include "model_choice.h"
#include "options.h"
#include "output_file.h"
#include "plot_file.h"
#include "quantize_output.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

struct Options {
  std::string model, projector, out, format = "int4", calibration, report, plot;
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
  qwenvl quantize model-folder model-int4 --calibration my-pictures --plot errors.svg
  qwenvl quantize model-Q4_K_M.gguf qwen-int4     # with its mmproj file beside it
  qwenvl ask --model qwen-int4 photo.jpg "What is this?")";

int run_quantize(const Options& options, bool is_json) {
  OutputFile report("--report", options.report);
  PlotFile plot("--plot", options.plot);
  QuantizeSummary summary;
  summary.model = chosen_model(options.model);
  summary.out = options.out;
  summary.format = options.format;
  Progress progress;
  summary.report = quantize({.model = summary.model,
                             .out = options.out,
                             .format = options.format,
                             .n_threads = options.n_threads,
                             .projector = options.projector,
                             .calibration = options.calibration},
                            percentage(progress, "quantize"));
  if (!options.skips_check && summary.report.is_source_runnable) {
    summary.comparison =
        compare_models(summary.model, options.out, options.n_threads, [&](int done, int total) {
          progress.show(fmt::format("compare {} of {} prompts", done, total));
        });
  }
  progress.clear();
  report.finish(json_text(json_of(summary)) + "\n");
  write_output(is_json ? json_text(json_of(summary)) + "\n" : table_of(summary));
  plot.finish(plot_of(summary));
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
  command
      .add_option("--calibration", options->calibration,
                  "Run the model over the pictures, .txt and .jsonl files of a folder first and "
                  "round with regard to what its matrices are given")
      ->type_name("DIR");
  command.add_option("--threads", options->n_threads, "0: every core")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command.add_option("--report", options->report, "Write sizes and errors of all tensors as JSON")
      ->type_name("FILE");
  command.add_option("--plot", options->plot, "Draw the errors of all layers and prompts")
      ->check(plot_path());
  command.add_flag("--no-check", options->skips_check,
                   "Do not compare the answers of both models afterwards");
  command.add_flag("--json", chosen.is_json_wanted, "One JSON object");
  command.callback([=, &chosen] {
    chosen.run = [=, &chosen] { return run_quantize(*options, chosen.is_json_wanted); };
  });
}

}  // namespace qwenvl::cli
