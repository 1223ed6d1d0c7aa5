// Files for reports and plots.
#include "output_file.h"

#include <fmt/format.h>

#include "qwenvl/error.h"
#include "terminal.h"

namespace qwenvl::cli {

OutputFile::OutputFile(const char* option, const std::string& path) : path_(path) {
  if (path.empty() || path == "-") return;
  file_.open(path, std::ios::binary);
  if (!file_) {
    throw Error(ErrorKind::bad_request,
                fmt::format("{}: cannot write {}; choose a folder that exists and is yours", option,
                            printable(path)));
  }
}

void OutputFile::finish(const std::string& text) {
  if (!file_.is_open()) return;
  file_ << text;
  file_.close();
  if (!file_) throw Error(ErrorKind::device, fmt::format("writing {} failed", printable(path_)));
}

}  // namespace qwenvl::cli
