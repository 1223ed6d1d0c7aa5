// The commands of the program. Each adds its options to the parser and says what to run when it was
// chosen; main.cpp parses, runs it, and turns errors into exit codes.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace qwenvl::cli {

enum ExitCode : int {
  kExitOk = 0,
  kExitUsage = 2,
  kExitBadFile = 3,
  kExitUnsupported = 4,
  kExitOutOfMemory = 5,
  kExitDevice = 6,
  kExitInternal = 70,
  kExitCancelled = 130,     // as shells report an interrupt
  kExitOutputClosed = 141,  // as shells report a broken pipe
};

struct Chosen {
  std::function<int()> run;     // of the command that was given
  bool is_json_wanted = false;  // then errors are reported as JSON on standard output, too
};

void add_ask(CLI::App& program, Chosen& chosen);
void add_bench(CLI::App& program, Chosen& chosen);
void add_chat(CLI::App& program, Chosen& chosen);
void add_convert(CLI::App& program, Chosen& chosen);
void add_inspect(CLI::App& program, Chosen& chosen);
void add_quantize(CLI::App& program, Chosen& chosen);
void add_tokenize(CLI::App& program, Chosen& chosen);
void add_video(CLI::App& program, Chosen& chosen);
void add_video_localize(CLI::App& video, Chosen& chosen);
void add_video_plan(CLI::App& video, Chosen& chosen);

}  // namespace qwenvl::cli
