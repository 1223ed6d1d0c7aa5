// Runs the built program as a shell would, and keeps what came out of it.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "support/temporary_folder.h"

namespace qwenvl::testing {

struct Outcome {
  int exit_code = -1;  // 128 + the signal's number when one ended it
  std::string out;
  std::string err;
};

inline const std::string kTinyModel = std::string(QWENVL_TEST_DATA) + "/golden/checkpoints/tiny";

inline std::string read_whole(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

// A started program with its three streams connected to files.
class Running {
 public:
  // `stdout_path` "": a file of its own. QWENVL_MODEL is the tiny checkpoint, unless `environment`
  // says otherwise ("" counts as unset). `program` may be a copy of the built one.
  Running(const std::vector<std::string>& arguments, const std::string& input = "",
          const std::string& stdout_path = "",
          const std::map<std::string, std::string>& environment = {},
          std::string program = QWENVL_PROGRAM)
      : out_path_(stdout_path.empty() ? folder_ / "out" : stdout_path) {
    std::ofstream(folder_ / "in", std::ios::binary) << input;
    pid_ = fork();
    if (pid_ != 0) return;
    connect(folder_ / "in", O_RDONLY, STDIN_FILENO);
    connect(out_path_, O_WRONLY | O_CREAT, STDOUT_FILENO);
    connect(folder_ / "err", O_WRONLY | O_CREAT, STDERR_FILENO);
    setenv("QWENVL_MODEL", kTinyModel.c_str(), 1);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> argv;
    argv.push_back(program.data());
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    execv(program.c_str(), argv.data());
    _exit(127);
  }

  void interrupt() const { kill(pid_, SIGINT); }
  bool has_output() const {
    std::error_code error;
    return std::filesystem::file_size(out_path_, error) > 0 && !error;
  }
  bool is_over() {
    if (!is_waited_for_) is_waited_for_ = waitpid(pid_, &status_, WNOHANG) == pid_;
    return is_waited_for_;
  }

  Outcome wait() {
    if (!is_waited_for_) waitpid(pid_, &status_, 0);
    is_waited_for_ = true;
    Outcome outcome;
    outcome.exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
    if (std::filesystem::is_regular_file(out_path_)) outcome.out = read_whole(out_path_);
    outcome.err = read_whole(folder_ / "err");
    return outcome;
  }

 private:
  static void connect(const std::string& path, int flags, int descriptor) {
    const int file = open(path.c_str(), flags, 0600);
    if (file < 0) _exit(126);
    dup2(file, descriptor);
  }

  TemporaryFolder folder_;
  std::string out_path_;
  pid_t pid_ = 0;
  int status_ = 0;
  bool is_waited_for_ = false;
};

inline Outcome run(const std::vector<std::string>& arguments, const std::string& input = "") {
  return Running(arguments, input).wait();
}

// A picture without any encoder: BMP, 24 bit, one colour per quarter.
inline std::string bmp_bytes(int width, int height) {
  const int row_bytes = (width * 3 + 3) / 4 * 4;
  std::string out(54 + static_cast<std::size_t>(row_bytes) * height, '\0');
  const auto put = [&](std::size_t at, std::uint32_t value) {
    for (int i = 0; i < 4; ++i) out[at + i] = static_cast<char>(value >> (8 * i));
  };
  out[0] = 'B';
  out[1] = 'M';
  put(2, static_cast<std::uint32_t>(out.size()));
  put(10, 54);
  put(14, 40);
  put(18, width);
  put(22, height);
  out[26] = 1;
  out[28] = 24;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      char* pixel = out.data() + 54 + static_cast<std::size_t>(y) * row_bytes + x * 3;
      pixel[x * 2 < width ? 0 : 1] = static_cast<char>(200);
      pixel[2] = static_cast<char>(y * 2 < height ? 250 : 20);
    }
  }
  return out;
}

inline std::string write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

}  // namespace qwenvl::testing
