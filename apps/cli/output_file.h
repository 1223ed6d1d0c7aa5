// A file that a command writes its findings to.
#pragma once

#include <fstream>
#include <string>

namespace qwenvl::cli {

class OutputFile {
 public:
  // Opens the file at once, so that a path that cannot be written is said before any work is done.
  // "" and "-" (standard output, which is the caller's business) open nothing. Throws bad_request.
  OutputFile(const char* option, const std::string& path);
  // Writes and closes; throws device.
  void finish(const std::string& text);

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace qwenvl::cli
