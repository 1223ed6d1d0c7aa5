// Turns the model argument of a user into a folder or a .gguf file: a path, or a repository id in
// the local cache.
// Before: command line or EngineOptions.   After: checkpoint.cpp or weight_source.cpp opens it.
// Mirrors the cache layout of the Hugging Face hub client:
//
//   <cache>/models--<org>--<name>/refs/<revision>      a file holding a commit hash
//   <cache>/models--<org>--<name>/snapshots/<hash>/    the files, as links into blobs/
#include <cstdlib>
#include <system_error>

#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf/open.h"
#include "checkpoint/shard_index.h"
#include "core/check.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxRefBytes = 4096;
constexpr std::size_t kMaxIndexBytes = 100'000'000;

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// An environment variable; "" when unset, as empty ones count as unset for the hub client too.
std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// The one folder the hub client would use.
fs::path cache_folder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const std::string folder = environment(name); !folder.empty()) return folder;
  }
  if (const std::string home = environment("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty()) {
    return fs::path(cache) / "huggingface" / "hub";
  }
  return fs::path(environment("HOME")) / ".cache" / "huggingface" / "hub";
}

// Letters of repository names and revisions; ".." and "--" could leave or confuse the layout.
bool is_plain_name(std::string_view name, std::string_view extra) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  if (name.empty() || name.size() > 96 || name.front() == '.' || name.front() == '-') return false;
  if (name.back() == '.' || name.find("..") != name.npos) return false;
  for (char letter : name) {
    if (kLetters.find(letter) == kLetters.npos && extra.find(letter) == extra.npos) return false;
  }
  return true;
}

struct RepositoryId {
  std::string organisation, name, revision;
  std::string str() const { return organisation + "/" + name; }
};

// "org/name" or "org/name@revision"; false when the text has another form.
bool parse_id(std::string_view text, RepositoryId& id) {
  id.revision = "main";
  if (const std::size_t at = text.find('@'); at != text.npos) {
    id.revision = text.substr(at + 1);
    text = text.substr(0, at);
  }
  const std::size_t slash = text.find('/');
  if (slash == text.npos) return false;
  id.organisation = text.substr(0, slash);
  id.name = text.substr(slash + 1);
  const bool is_revision = is_plain_name(id.revision, "/") && id.revision.back() != '/' &&
                           id.revision.find("//") == id.revision.npos;
  return is_revision && is_plain_name(id.organisation, "") && is_plain_name(id.name, "");
}

std::string download_command(const RepositoryId& id) {
  return "hf download " + id.str() + (id.revision == "main" ? "" : " --revision " + id.revision);
}

// The commit a revision stands for; itself when no ref of that name exists (it may be a hash).
std::string commit_of(const fs::path& repository, const std::string& revision) {
  const fs::path ref = repository / "refs" / revision;
  if (!is_there(ref) || is_folder(ref)) return revision;
  std::string hash = read_file(ref, kMaxRefBytes);
  while (!hash.empty() && (hash.back() == '\n' || hash.back() == '\r' || hash.back() == ' ')) {
    hash.pop_back();
  }
  if (!is_plain_name(hash, "")) {
    fail(ErrorKind::bad_file, "{}: holds {}, expected a commit hash", ref.string(), quoted(hash));
  }
  return hash;
}

// A configuration, or GGUF files, which hold their own.
bool is_model_folder(const fs::path& folder) {
  return is_there(folder / "config.json") || !gguf_files(folder, false).empty();
}

// What a snapshot lacks to be opened, or "" (an interrupted download leaves such snapshots).
std::string missing_part(const fs::path& snapshot) {
  if (!is_model_folder(snapshot)) return "config.json";
  const fs::path index_path = snapshot / "model.safetensors.index.json";
  if (!is_there(index_path)) return "";
  const ShardIndex index =
      parse_shard_index(read_file(index_path, kMaxIndexBytes), index_path.string());
  for (const auto& [tensor, shard] : index.shard_of) {
    if (!is_there(snapshot / shard)) return shard;
  }
  return "";
}

fs::path place_in_cache(const RepositoryId& id) {
  return cache_folder() / ("models--" + id.organisation + "--" + id.name);
}

fs::path resolve_in_cache(const RepositoryId& id) {
  const fs::path repository = place_in_cache(id);
  if (!is_folder(repository)) {
    fail(ErrorKind::bad_request,
         "model {}: not a model folder here, and not in the cache {}; download it with: {}",
         quoted(id.str()), cache_folder().string(), download_command(id));
  }
  const fs::path snapshot = repository / "snapshots" / commit_of(repository, id.revision);
  if (!is_folder(snapshot)) {
    fail(ErrorKind::bad_request,
         "model {}: the cache has no revision {} in {}; download it with: {}", quoted(id.str()),
         quoted(id.revision), repository.string(), download_command(id));
  }
  if (const std::string part = missing_part(snapshot); !part.empty()) {
    fail(ErrorKind::bad_request, "model {}: {} lacks {}; complete the download with: {}",
         quoted(id.str()), snapshot.string(), quoted(part), download_command(id));
  }
  return snapshot;
}

}  // namespace

fs::path resolve_model(const std::string& model) {
  if (model.empty() || model.find('\0') != model.npos) {
    fail(ErrorKind::bad_request,
         "model {}: expected a folder, a .gguf file or a repository id like org/name",
         quoted(model));
  }
  const bool exists_here = is_folder(model);
  if (exists_here ? is_model_folder(model) : model.ends_with(".gguf") && is_there(model)) {
    return model;
  }
  RepositoryId id;
  const bool is_id = parse_id(model, id);
  if (exists_here && !(is_id && is_folder(cache_folder()))) {
    fail(ErrorKind::bad_request,
         "model {}: the folder has neither config.json nor a language model as .gguf; it is no "
         "model "
         "folder",
         quoted(model));
  }
  if (!is_id) {
    if (is_there(model)) {
      fail(ErrorKind::bad_request,
           "model {}: is a file; give the folder that holds config.json, or a .gguf file",
           quoted(model));
    }
    fail(ErrorKind::bad_request,
         "model {}: no such folder or .gguf file, and not a repository id (org/name or "
         "org/name@revision)",
         quoted(model));
  }
  return resolve_in_cache(id);
}

bool is_in_cache(const std::string& repository_id) {
  RepositoryId id;
  return parse_id(repository_id, id) && is_folder(place_in_cache(id));
}

}  // namespace qwenvl
