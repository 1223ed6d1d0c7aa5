// Picks the reader of a model's files.
// Before: the model argument.   After: gguf/open.cpp or foreign/folder_source.cpp.
#include "checkpoint/weight_source.h"

#include <system_error>

#include "checkpoint/foreign/folder_source.h"
#include "checkpoint/gguf/open.h"
#include "core/check.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

}  // namespace

// Safetensors win over GGUF files in the same folder; a folder with neither is refused by the
// reader of folders, which says what it found.
bool is_gguf_model(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path.extension() == ".gguf";
  return !is_there(path / "model.safetensors") &&
         !is_there(path / "model.safetensors.index.json") && !gguf_files(path, false).empty();
}

const StoredTensor& WeightSource::tensor(const std::string& name) const {
  const auto at = tensors().find(name);
  if (at == tensors().end()) {
    fail(ErrorKind::bad_file, "{}: no tensor {}", path().string(), quoted(name));
  }
  return *at->second;
}

void WeightSource::read_rows(const std::string& name, std::int64_t first, std::int64_t n,
                             float* out) const {
  tensor(name).read_rows(first, n, out);
}

std::unique_ptr<WeightSource> open_weight_source(const fs::path& path, const fs::path& projector) {
  if (is_gguf_model(path)) return open_gguf(path, projector);
  if (!projector.empty()) {
    fail(ErrorKind::bad_request, "{}: is no GGUF model, so the vision file {} does not go with it",
         path.string(), quoted(projector.string()));
  }
  std::error_code ignored;
  if (is_there(path) && !fs::is_directory(path, ignored)) {
    fail(ErrorKind::bad_request, "{}: expected a model folder or a .gguf file", path.string());
  }
  return open_folder_source(path);
}

}  // namespace qwenvl
