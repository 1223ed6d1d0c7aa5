// qwenvl bench: how fast a model, or this machine, is, and how much of the machine it uses.
#include "qwenvl/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bench_output.h"
#include "command.h"
#include "json_text.h"
#include "model_choice.h"
#include "options.h"
#include "output_file.h"
#include "plot_file.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

constexpr const char* kMachine = "machine";

struct BenchCommand {
  BenchOptions options;
  std::string json_path, plot_path;
};

constexpr const char* kExamples = R"(Examples:
  qwenvl bench machine
  qwenvl bench Qwen/Qwen2.5-VL-3B-Instruct
  qwenvl bench ./my-checkpoint --stages prefill,decode --rounds 8
  qwenvl bench ./my-checkpoint --threads 1 --json one.json --plot one.svg
  qwenvl bench ./my-checkpoint --stages decode --json - | jq .stages[0].rate

How to read the table. GB/s and GOP/s are what the model has to read and to compute, counted from its
sizes, by the median time. The share is the least time this machine would take for that, divided by
the time it took: what memory delivers and what its products reach is measured just before and after
each stage with the same threads, because both change within seconds on a shared machine. A round
whose two probes differ by more than 15 % is not steady; figures come from the steady rounds, and
from all where none is.

Stages run in turn within each round, so that what disturbs the machine disturbs all alike. The more
rounds, the surer the median; a machine that does nothing else gives the only good figures. The hash
of the logits tells whether two builds compute the same. Weights that are converted while they are
opened (other programs' files, --weights) are so each time: load shows what that takes, and both
copies that bench opens are in memory.

A folder named machine or demo is written ./machine or ./demo.)";

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> names(1);
  for (const char c : list) {
    if (c == ',') {
      names.emplace_back();
    } else {
      names.back() += c;
    }
  }
  return names;
}

CLI::Validator stage_list() {
  return CLI::Validator(
      [](std::string& text) {
        const std::vector<std::string> known = bench_stage_names();
        for (const std::string& name : split(text)) {
          if (std::find(known.begin(), known.end(), name) == known.end())
            return fmt::format("'{}' is not a stage; there are {}", name, fmt::join(known, ", "));
        }
        return std::string();
      },
      "");
}

template <class Report>
void show(const BenchCommand& command, const Report& report, OutputFile& json, PlotFile& plot) {
  const bool is_json_shown = command.json_path == "-";
  write_output(is_json_shown ? json_text(json_of(report)) + "\n" : table_of(report));
  json.finish(json_text(json_of(report)) + "\n");
  plot.finish(plot_of(report));
}

int run_bench(const BenchCommand& command) {
  OutputFile json("--json", command.json_path);
  PlotFile plot("--plot", command.plot_path);
  Progress progress;
  const auto on_progress = [&progress](const std::string& what) { progress.show(what); };
  BenchOptions options = command.options;
  if (options.engine.model == kMachine) {
    if (!options.stages.empty())
      throw Error(ErrorKind::bad_request, "--stages: a machine has none; name a checkpoint");
    MachineBenchOptions machine;
    machine.n_threads = options.engine.n_threads;
    machine.n_rounds = options.n_rounds;
    const MachineBench report = bench_machine(machine, on_progress);
    progress.clear();
    show(command, report, json, plot);
    return kExitOk;
  }
  options.engine.model = chosen_model(options.engine.model);
  options.engine.on_load = percentage(progress);
  const BenchReport report = bench_model(options, on_progress);
  progress.clear();
  show(command, report, json, plot);
  return kExitOk;
}

void add_sizes(CLI::App& command, BenchOptions& options) {
  const std::string group = "Sizes";
  command.add_option("--prompt-tokens", options.n_prompt_tokens, "Of prefill, decode and verify-4")
      ->check(whole(1, 1'000'000))
      ->capture_default_str()
      ->group(group);
  command.add_option("--answer-tokens", options.n_answer_tokens, "Of decode, batch and memory")
      ->check(whole(2, 1'000'000))
      ->capture_default_str()
      ->group(group);
  command.add_option("--batch", options.n_batch, "Pictures of batch")
      ->check(whole(1, 1024))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--memory-tokens", options.n_memory_tokens,
                  "Prompt and answer of memory; 0: as few as the picture needs")
      ->check(whole(0, 1'000'000))
      ->capture_default_str()
      ->group(group);
}

}  // namespace

void add_bench(CLI::App& program, Chosen& chosen) {
  CLI::App& command = *program.add_subcommand(
      "bench", "Measure a model, or this machine, and how much of the machine is used");
  command.footer(kExamples);
  auto state = std::make_shared<BenchCommand>();
  BenchOptions& options = state->options;
  command
      .add_option("MODEL", options.engine.model,
                  "Folder, .gguf file, repository id in the Hugging Face cache, demo, or: machine "
                  "(unset: the model that ask would use)")
      ->envname(kModelVariable)
      ->check(model_name())
      ->type_name("");
  command.add_option("--threads", options.engine.n_threads, "0: every core this process may use")
      ->check(whole(0, 1000))
      ->capture_default_str();
  command.add_option("--rounds", options.n_rounds, "Every stage runs once in each")
      ->check(whole(1, 1000))
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--stages", [&options](const std::string& list) { options.stages = split(list); },
          fmt::format("Some of {} (unset: all)", fmt::join(bench_stage_names(), ",")))
      ->check(stage_list())
      ->type_name("A,B,…");
  command.add_option("--backend", options.engine.backend, "auto, cpu or reference")
      ->capture_default_str();
  command
      .add_option("--json", state->json_path, "Write everything measured; -: instead of the table")
      ->type_name("FILE");
  command.add_option("--plot", state->plot_path, "Draw bars of the shares")->check(plot_path());
  add_sizes(command, options);
  add_weight_options(command, options.engine);
  add_memory_options(command, options.engine);
  command.callback([state, &chosen] { chosen.run = [state] { return run_bench(*state); }; });
}

}  // namespace qwenvl::cli
