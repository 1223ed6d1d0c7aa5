// A file that a command writes its findings to.
#pragma once

#include <string>

namespace qwenvl::cli {

class OutputFile {
 public:
  // Tries the path at once, so that one that cannot be written is said before any work is done;
  // what is there stays until the findings are. "" and "-" (standard output, which is the caller's
  // business) open nothing. Throws bad_request.
  OutputFile(const char* option, const std::string& path);
  // Writes it all; throws device.
  void finish(const std::string& text);

 private:
  std::string path_;
};

}  // namespace qwenvl::cli
