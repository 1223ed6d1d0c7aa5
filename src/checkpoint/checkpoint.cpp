// Opens a model folder: finds the safetensors files, maps them, joins their tensors.
// Before: model_folder.cpp turned the model argument into a folder.
// After: binder.cpp hands the tensors to the model.
// Mirrors the loader of the reference: a single file or an index with shards, and the renaming of
// tensors between the layouts that its versions wrote.
#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "checkpoint/shard_index.h"
#include "core/check.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr std::size_t kMaxIndexBytes = 100'000'000;
constexpr std::size_t kMaxTextBytes = 100'000'000;

// exists() without exceptions: what cannot be looked at cannot be opened either.
bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// Names of the files in the folder, for the message about what is there instead of weights.
std::vector<std::string> file_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// No safetensors weights: say what the folder holds and how to get on.
[[noreturn]] void refuse_folder(const fs::path& folder) {
  const std::vector<std::string> names = file_names(folder);
  const auto find = [&](auto&& matches) -> std::string {
    const auto at = std::find_if(names.begin(), names.end(), matches);
    return at == names.end() ? "" : *at;
  };
  const auto find_ending = [&](std::string_view ending) {
    return find([&](const std::string& name) { return name.ends_with(ending); });
  };
  const auto refuse = [&](const std::string& found, const char* advice) {
    fail(ErrorKind::unsupported, "{}: no {}, only {}; {}", folder.string(), kSingleFile, found,
         advice);
  };
  if (const auto name = find([](const auto& n) { return n.starts_with("adapter_"); });
      !name.empty()) {
    refuse(name, "this is an adapter, not a model: merge it into its base model and save that");
  }
  if (const auto name = find_ending(".gguf"); !name.empty()) {
    refuse(name, "name the .gguf file of the language model itself");
  }
  for (const char* ending : {".bin", ".pt", ".pth", ".ckpt"}) {
    if (const auto name = find_ending(ending); !name.empty()) {
      refuse(name, "pickled weights are not read: save the model again with safetensors");
    }
  }
  if (const auto name = find_ending(".safetensors"); !name.empty()) {
    fail(ErrorKind::bad_file, "{}: holds {}, but neither {} nor {}; the download is incomplete",
         folder.string(), name, kSingleFile, kIndexFile);
  }
  fail(ErrorKind::bad_file, "{}: no weights, expected {} or {}", folder.string(), kSingleFile,
       kIndexFile);
}

// Every name of the index must be in its shard, and every tensor of a shard in the index.
void check_against_index(const ShardIndex& index, const std::string& shard,
                         const std::map<std::string, TensorEntry>& entries,
                         const std::string& where) {
  for (const auto& [name, entry] : entries) {
    const auto listed = index.shard_of.find(name);
    if (listed == index.shard_of.end()) {
      fail(ErrorKind::bad_file, "{}: tensor {} in {} is not in the index", where, quoted(name),
           shard);
    }
    if (listed->second != shard) {
      fail(ErrorKind::bad_file, "{}: tensor {} is said to be in {}, but {} holds it too", where,
           quoted(name), quoted(listed->second), quoted(shard));
    }
  }
  for (const auto& [name, listed_shard] : index.shard_of) {
    if (listed_shard == shard && !entries.contains(name)) {
      fail(ErrorKind::bad_file, "{}: tensor {} is said to be in {}, which does not hold it", where,
           quoted(name), quoted(shard));
    }
  }
}

ShardIndex read_index(const fs::path& folder) {
  const fs::path path = folder / kIndexFile;
  ShardIndex index = parse_shard_index(read_file(path, kMaxIndexBytes), path.string());
  std::set<std::string> shards;
  for (const auto& [name, shard] : index.shard_of) shards.insert(shard);
  if (is_there(folder / kSingleFile) && !shards.contains(kSingleFile)) {
    fail(ErrorKind::bad_file,
         "{}: holds both {} and {}, which does not name it; remove one of them", folder.string(),
         kSingleFile, kIndexFile);
  }
  for (const std::string& shard : shards) {
    if (!is_there(folder / shard)) {
      fail(ErrorKind::bad_file,
           "{}: names the shard {}, which is not there; the download is incomplete", path.string(),
           quoted(shard));
    }
  }
  return index;
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    fail(ErrorKind::bad_file, "{}: {}, expected a model folder", folder.string(),
         is_there(folder) ? "is not a folder" : "does not exist");
  }
  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  if (is_there(folder / kIndexFile)) {
    checkpoint.open_shards();
  } else if (is_there(folder / kSingleFile)) {
    checkpoint.add_file(kSingleFile);
  } else {
    refuse_folder(folder);
  }
  if (!is_there(folder / "config.json")) {
    fail(ErrorKind::bad_file, "{}: no config.json; the folder is incomplete", folder.string());
  }
  return checkpoint;
}

void Checkpoint::open_shards() {
  const ShardIndex index = read_index(folder_);
  const std::string where = (folder_ / kIndexFile).string();
  std::set<std::string> shards;
  for (const auto& [name, shard] : index.shard_of) shards.insert(shard);
  for (const std::string& shard : shards) check_against_index(index, shard, add_file(shard), where);
  if (index.total_bytes && *index.total_bytes != total_bytes()) {
    fail(ErrorKind::bad_file, "{}: total_size is {}, but the shards hold {} bytes of tensors",
         where, *index.total_bytes, total_bytes());
  }
}

std::map<std::string, TensorEntry> Checkpoint::add_file(const std::string& file_name) {
  const fs::path path = folder_ / file_name;
  files_.emplace_back(path);
  std::map<std::string, std::string> metadata;
  auto entries = parse_safetensors(files_.back().bytes(), path.string(), &metadata);
  packed_.merge(parse_packed_tensors(metadata, entries, path.string()));
  for (const auto& [name, entry] : entries) {
    const std::string canonical = canonical_tensor_name(name);
    const auto [at, is_new] = tensors_.emplace(canonical, entry);
    if (!is_new) {
      fail(ErrorKind::bad_file, "{}: tensor {} is the second one called {}, after one in {}",
           path.string(), quoted(name), quoted(canonical), file_of_.at(canonical));
    }
    file_of_.emplace(canonical, file_name);
  }
  return entries;
}

std::string Checkpoint::text_of(const std::string& file_name) const {
  if (const auto text = texts_.find(file_name); text != texts_.end()) return text->second;
  const fs::path path = folder_ / file_name;
  return is_there(path) ? read_file(path, kMaxTextBytes) : "";
}

const PackedTensor* Checkpoint::packed(const std::string& tensor) const {
  const auto at = packed_.find(tensor);
  return at == packed_.end() ? nullptr : &at->second;
}

const std::string& Checkpoint::file_of(const std::string& tensor) const {
  const auto at = file_of_.find(tensor);
  QWENVL_CHECK(at != file_of_.end(), "no tensor {}", quoted(tensor));
  return at->second;
}

std::size_t Checkpoint::total_bytes() const {
  std::size_t total = 0;
  for (const auto& [name, entry] : tensors_) total += entry.bytes.size();
  return total;
}

void Checkpoint::release_pages(std::string_view name_prefix) const noexcept {
  for (const auto& [name, entry] : tensors_) {
    if (!name.starts_with(name_prefix)) continue;
    for (const MappedFile& file : files_) {
      if (file.holds(entry.bytes)) file.release(entry.bytes);
    }
  }
}

std::string canonical_tensor_name(const std::string& name) {
  // What a saver put before the two parts of the model; longer prefixes first.
  constexpr std::pair<std::string_view, std::string_view> kFolds[] = {
      {"model.visual.", "visual."},
      {"model.language_model.model.", "model."},
      {"model.language_model.lm_head.", "lm_head."},
      {"model.language_model.", "model."},
      {"language_model.model.", "model."},
      {"language_model.lm_head.", "lm_head."},
  };
  for (const auto& [prefix, replacement] : kFolds) {
    if (name.starts_with(prefix)) return std::string(replacement) + name.substr(prefix.size());
  }
  return name;
}

}  // namespace qwenvl
