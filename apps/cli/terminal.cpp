// Standard output, standard error and Ctrl-C.
#include "terminal.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>

#include "command.h"

namespace qwenvl::cli {

namespace {

// The stream Ctrl-C should cancel. The handling thread outlives main's locals, so this is global.
std::mutex interrupt_mutex;
EventStream* running_stream = nullptr;
bool is_cancel_requested = false;

void wait_for_interrupts(sigset_t signals) {
  for (int number = 0; sigwait(&signals, &number) == 0;) {
    const std::lock_guard lock(interrupt_mutex);
    if (running_stream != nullptr && !is_cancel_requested) {
      is_cancel_requested = true;
      running_stream->cancel();
      continue;
    }
    // Nothing to wind down, or the user insists. Only the kernel has anything to tidy up.
    if (isatty(STDERR_FILENO) != 0) static_cast<void>(!write(STDERR_FILENO, "\n", 1));
    _exit(kExitCancelled);
  }
}

}  // namespace

void handle_interrupts() {
  signal(SIGPIPE, SIG_IGN);  // a closed pipe is reported by the write that meets it
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // inherited by every thread started later
  std::thread(wait_for_interrupts, signals).detach();
}

InterruptScope::InterruptScope(EventStream& stream) {
  const std::lock_guard lock(interrupt_mutex);
  running_stream = &stream;
  is_cancel_requested = false;
}

InterruptScope::~InterruptScope() {
  const std::lock_guard lock(interrupt_mutex);
  running_stream = nullptr;
}

void write_output(std::string_view text) {
  if (text.empty()) return;
  const bool is_written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (is_written && std::fflush(stdout) == 0) return;
  if (errno == EPIPE) throw OutputClosed();
  throw Error(ErrorKind::device, fmt::format("standard output: {}", std::strerror(errno)));
}

void note(std::string_view line) {
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fputc('\n', stderr);
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string read_input(std::size_t max_bytes) {
  std::string out;
  std::array<char, 65536> block;
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), stdin)) {
    out.append(block.data(), n);
    if (out.size() > max_bytes) {
      throw Error(
          ErrorKind::bad_file,
          fmt::format("standard input: more than {} MiB; pass a smaller input", max_bytes >> 20));
    }
  }
  if (std::ferror(stdin) != 0) {
    throw Error(ErrorKind::device, fmt::format("standard input: {}", std::strerror(errno)));
  }
  return out;
}

bool is_input_terminal() { return isatty(STDIN_FILENO) != 0; }

Progress::Progress() : Progress(true) {}
Progress::Progress(bool is_shown) : is_terminal_(is_shown && isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() { clear(); }

void Progress::show(std::string_view what) {
  if (!is_terminal_) return;
  clear();
  fmt::print(stderr, "{} …", what);
  std::fflush(stderr);
  is_shown_ = true;
}

void Progress::clear() {
  if (!is_shown_) return;
  fmt::print(stderr, "\r\x1b[K");  // to the start of the line, and erase it
  std::fflush(stderr);
  is_shown_ = false;
}

LoadProgress percentage(Progress& line, const std::string& what) {
  return [&line, what](std::uint64_t done, std::uint64_t total, const std::string& tensor) {
    line.show(fmt::format("{} {:3.0f} %  {}", what,
                          100.0 * static_cast<double>(done) / static_cast<double>(total),
                          printable(tensor)));
  };
}

}  // namespace qwenvl::cli
