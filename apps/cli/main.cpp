// qwenvl: the command line. Arguments → one of the commands; errors → messages and exit codes.
// Before: the shell.   After: the file that is named like the command.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <new>
#include <nlohmann/json.hpp>
#include <string>

#include "command.h"
#include "json_text.h"
#include "qwenvl/error.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

constexpr const char* kFooter = R"(Examples:
  qwenvl ask photo.jpg "What is this?"
  qwenvl chat
  qwenvl inspect Qwen/Qwen2.5-VL-3B-Instruct
  qwenvl bench machine
  qwenvl COMMAND --help          explains a command, with examples

The model is --model, or the variable QWENVL_MODEL: a folder, a .gguf file, the id of a repository in
the Hugging Face cache, or demo, the small model that ships with the program. Unset:
Qwen/Qwen2.5-VL-3B-Instruct when it was downloaded, else demo.

Exit codes: 0 done · 2 wrong usage or request · 3 bad file · 4 unsupported · 5 out of memory ·
6 system, network or device · 70 a bug in qwenvl · 130 stopped by Ctrl-C · 141 output closed)";

int exit_code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::bad_request: return kExitUsage;
    case ErrorKind::bad_file: return kExitBadFile;
    case ErrorKind::unsupported: return kExitUnsupported;
    case ErrorKind::out_of_memory: return kExitOutOfMemory;
    case ErrorKind::device: return kExitDevice;
    case ErrorKind::cancelled: return kExitCancelled;
    case ErrorKind::internal: return kExitInternal;
  }
  return kExitInternal;
}

int report(ErrorKind kind, const std::string& message, bool is_json_wanted) {
  note(fmt::format("qwenvl: {}", message));
  if (is_json_wanted) {
    write_output(json_text({{"error", {{"kind", name_of(kind)}, {"message", message}}}}) + "\n");
  }
  return exit_code_of(kind);
}

int run_reporting_errors(const Chosen& chosen) {
  try {
    return chosen.run();
  } catch (const Error& error) {
    return report(error.kind(), error.what(), chosen.is_json_wanted);
  } catch (const std::bad_alloc&) {
    return report(ErrorKind::out_of_memory, "out of memory", chosen.is_json_wanted);
  }
}

int run(int argc, char** argv) {
  CLI::App program("qwenvl: asks Qwen2.5-VL about pictures, on hardware you own", "qwenvl");
  program.set_version_flag("--version", "qwenvl " QWENVL_VERSION);
  program.footer(kFooter);
  program.require_subcommand(1);
  program.get_formatter()->column_width(36);
  Chosen chosen;
  add_ask(program, chosen);
  add_chat(program, chosen);
  add_inspect(program, chosen);
  add_quantize(program, chosen);
  add_convert(program, chosen);
  add_bench(program, chosen);
  add_tokenize(program, chosen);
  add_video(program, chosen);

  if (argc == 1) {
    note(program.help());
    return kExitUsage;
  }
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help and --version
    const auto commands = program.get_subcommands();
    const std::string command = commands.empty() ? "" : " " + commands.front()->get_name();
    const bool is_unknown = commands.empty() && argv[1][0] != '-';  // the parser only misses one
    const std::string problem =
        is_unknown ? fmt::format("there is no command '{}'", printable(argv[1])) : error.what();
    note(fmt::format("qwenvl: {}\nqwenvl{} --help explains the {}.", problem, command,
                     commands.empty() ? "commands" : "options"));
    return kExitUsage;
  }
  return run_reporting_errors(chosen);
}

}  // namespace

}  // namespace qwenvl::cli

int main(int argc, char** argv) {
  using namespace qwenvl::cli;
  try {
    handle_interrupts();
    return run(argc, argv);
  } catch (const OutputClosed&) {
    return kExitOutputClosed;
  } catch (const std::exception& error) {
    note(fmt::format("qwenvl: unexpected: {}; this is a bug, please report it", error.what()));
    return kExitInternal;
  }
}
