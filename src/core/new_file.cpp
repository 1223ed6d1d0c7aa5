// Before and after: new_file.h.
#include "core/new_file.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "core/check.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;

// A link stays one: what it leads to is replaced.
std::string resolved(const std::string& path) {
  std::error_code error;
  const fs::path target = fs::canonical(path, error);
  return error ? path : target.string();
}

std::string path_of_part(const std::string& final_path) {
  std::error_code error;
  const fs::file_status status = fs::status(final_path, error);
  return fs::exists(status) && !fs::is_regular_file(status) ? final_path : final_path + ".part";
}

}  // namespace

NewFile::NewFile(std::string final_path)
    : final_path_(resolved(final_path)), path_(path_of_part(final_path_)) {}

NewFile::~NewFile() {
  if (is_kept_ || path_ == final_path_) return;
  std::error_code ignored;
  fs::remove(path_, ignored);
}

void NewFile::keep() {
  if (path_ != final_path_) {
    std::error_code error;
    fs::rename(path_, final_path_, error);
    if (error) {
      fail(ErrorKind::device, "{}: cannot be written: {}", quoted(final_path_), error.message());
    }
  }
  is_kept_ = true;
}

}  // namespace qwenvl
