// Standard output, standard error and Ctrl-C.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "qwenvl/engine.h"

namespace qwenvl::cli {

// Thrown when the reader of standard output went away (`qwenvl ask … | head`): not an error.
class OutputClosed {};

// Writes and flushes, so that text appears as it is generated.
void write_output(std::string_view text);
// One line on standard error.
void note(std::string_view line);
// `text` with control bytes made visible, so that foreign names cannot steer the terminal.
std::string printable(std::string_view text);

// All of standard input; throws bad_file above `max_bytes`.
std::string read_input(std::size_t max_bytes);
bool is_input_terminal();

// A line on standard error that says what is being waited for; only on a terminal, and it vanishes.
class Progress {
 public:
  Progress();
  explicit Progress(bool is_shown);  // on a terminal; false: nothing ever is
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void show(std::string_view what);
  void clear();

 private:
  bool is_terminal_;
  bool is_shown_ = false;
};

// Shows "what 12 %  tensor" while weights are converted. The line must outlive its use.
LoadProgress percentage(Progress& line, const std::string& what = "converting weights");

// Call once, before any other thread exists. From then on Ctrl-C cancels the stream of the
// innermost InterruptScope; without one, or pressed twice, it ends the program with kExitCancelled.
void handle_interrupts();

class InterruptScope {
 public:
  explicit InterruptScope(EventStream& stream);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
};

}  // namespace qwenvl::cli
