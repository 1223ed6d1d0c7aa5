// Files for reports and plots.
#include "output_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "qwenvl/error.h"
#include "terminal.h"

namespace qwenvl::cli {

OutputFile::OutputFile(const char* option, const std::string& path)
    : path_(path == "-" ? "" : path) {
  if (path_.empty()) return;
  std::error_code error;
  const bool is_new = !std::filesystem::exists(path_, error);
  const bool is_open = std::ofstream(path_, std::ios::binary | std::ios::app).is_open();
  if (is_open && is_new) std::filesystem::remove(path_, error);
  if (is_open) return;
  throw Error(ErrorKind::bad_request,
              fmt::format("{}: cannot write {}; choose a folder that exists and is yours", option,
                          printable(path)));
}

void OutputFile::finish(const std::string& text) {
  if (path_.empty()) return;
  std::ofstream file(path_, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw Error(ErrorKind::device, fmt::format("writing {} failed", printable(path_)));
}

}  // namespace qwenvl::cli
