// Finds and opens the two GGUF files of a model.
// Before: weight_source.cpp saw a .gguf.   After: whoever reads rows.
#include "checkpoint/gguf/open.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "checkpoint/gguf/texts.h"
#include "core/check.h"
#include "core/mapped_file.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxTextBytes = 100'000'000;

std::string names_of(const std::vector<fs::path>& files) {
  std::vector<std::string> names;
  for (const fs::path& file : files) names.push_back(quoted(file.filename().string()));
  return fmt::format("{}", fmt::join(names, ", "));
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

fs::path language_file(const fs::path& path) {
  if (!is_folder(path)) return path;
  const std::vector<fs::path> files = gguf_files(path, false);
  if (files.size() == 1) return files[0];
  fail(ErrorKind::bad_request, "{}: {} language files ({}); give the one to open", path.string(),
       files.size(), files.empty() ? "none" : names_of(files));
}

fs::path vision_file(const fs::path& language, const fs::path& projector) {
  if (!projector.empty()) return projector;
  const fs::path folder = language.has_parent_path() ? language.parent_path() : ".";
  const std::vector<fs::path> files = gguf_files(folder, true);
  if (files.size() == 1) return files[0];
  if (files.empty()) {
    fail(ErrorKind::bad_request,
         "{}: holds the language model only, and no *mmproj*.gguf with the vision tower is beside "
         "it; put it there, or name it with --projector FILE",
         language.string());
  }
  fail(ErrorKind::bad_request,
       "{}: several vision files beside it ({}); name the one to use with --projector FILE",
       language.string(), names_of(files));
}

// A text that lies beside the language file; "" when there is none.
std::string text_beside(const fs::path& language, const std::string& file_name) {
  const fs::path beside = language.parent_path() / file_name;
  std::error_code ignored;
  return fs::exists(beside, ignored) ? read_file(beside, kMaxTextBytes) : "";
}

std::string tokenizer_json_of(const GgufMetadata& metadata, const fs::path& language) {
  std::string text = tokenizer_json_from_gguf(metadata);
  if (text.empty()) text = text_beside(language, "tokenizer.json");
  if (text.empty()) {
    fail(ErrorKind::bad_request,
         "{}: holds no tokenizer, and no tokenizer.json is beside it; put the model's there",
         language.string());
  }
  return text;
}

class GgufSource : public WeightSource {
 public:
  GgufSource(const fs::path& language, const fs::path& vision)
      : path_(language),
        language_bytes_(language),
        vision_bytes_(vision),
        language_(parse_gguf(language_bytes_.bytes(), language.string())),
        vision_(parse_gguf(vision_bytes_.bytes(), vision.string())) {
    texts_["config.json"] = config_json_from_gguf(language_, vision_);
    texts_["preprocessor_config.json"] = preprocessor_config_json_from_gguf(vision_);
    texts_["generation_config.json"] = generation_config_json_from_gguf(language_);
    texts_["tokenizer_config.json"] = tokenizer_config_json_from_gguf(language_.metadata);
    tensors_ = tensors_from_gguf(language_, language.filename().string(), vision_,
                                 vision.filename().string());
  }

  const fs::path& path() const override { return path_; }
  const Tensors& tensors() const override { return tensors_; }

  // What the files say themselves; a text they do not hold may lie beside them.
  std::string text_of(const std::string& file_name) const override {
    if (const auto at = texts_.find(file_name); at != texts_.end() && !at->second.empty()) {
      return at->second;
    }
    if (file_name == "tokenizer.json") return tokenizer_json_of(language_.metadata, path_);
    return text_beside(path_, file_name);
  }

  // Whole files: their tensors are read one after the other, and the rest was read when they were
  // opened.
  void release_pages(const std::string& /*name*/) const noexcept override {
    language_bytes_.release(language_bytes_.bytes());
    vision_bytes_.release(vision_bytes_.bytes());
  }

 private:
  fs::path path_;
  MappedFile language_bytes_, vision_bytes_;
  GgufFile language_, vision_;
  std::map<std::string, std::string> texts_;
  Tensors tensors_;
};

}  // namespace

std::vector<fs::path> gguf_files(const fs::path& folder, bool projectors) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::string name = at->path().filename().string();
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
      return 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    const bool is_projector = name.find("mmproj") != name.npos;
    if (name.ends_with(".gguf") && is_projector == projectors) files.push_back(at->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string tokenizer_json_of_gguf(const fs::path& path) {
  const fs::path language = language_file(path);
  const MappedFile bytes(language);
  return tokenizer_json_of(parse_gguf(bytes.bytes(), language.string()).metadata, language);
}

std::unique_ptr<WeightSource> open_gguf(const fs::path& path, const fs::path& projector) {
  const fs::path language = language_file(path);
  return std::make_unique<GgufSource>(language, vision_file(language, projector));
}

}  // namespace qwenvl
