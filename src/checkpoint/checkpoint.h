// A model: configuration texts and all named tensors, memory-mapped from a folder, or in memory
// where another program's file has been converted or ours was copied.
// Before: the model argument.   After: binder.h, which hands the tensors to a model.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/packed_tensors.h"
#include "checkpoint/safetensors.h"
#include "core/anonymous_memory.h"
#include "core/mapped_file.h"

namespace qwenvl {

class Checkpoint {
 public:
  // Opens a Hugging Face folder: config.json and model.safetensors, or the shards that
  // model.safetensors.index.json lists. Throws bad_file.
  static Checkpoint open(const std::filesystem::path& folder);

  // A tensor to be computed from a source, or copied.
  struct Declared {
    std::string name;  // canonical
    DType type;        // of the bytes in memory
    Shape shape;
    std::string file;                    // that it comes from, for messages
    std::optional<PackedTensor> packed;  // when the bytes are packed
  };
  // Memory for these tensors, each at a multiple of 64 bytes, to be written by the caller. It is
  // taken page by page as it is written, so that a caller may first check what the shapes say.
  // `texts` stand before files of the same names in the folder.
  static Checkpoint in_memory(std::filesystem::path folder,
                              std::map<std::string, std::string> texts,
                              const std::vector<Declared>& tensors);
  // Of a checkpoint in memory, once for each tensor.
  std::span<std::byte> writable(const std::string& tensor);
  bool is_in_memory() const { return memory_.size_bytes() > 0; }
  // Of that memory, what this process has taken: the tensors that were asked for to be written.
  std::size_t written_bytes() const { return written_bytes_; }

  // Where it comes from: the folder, or the .gguf file.
  const std::filesystem::path& folder() const { return folder_; }
  // Parsed by whoever knows their meaning; "" when the file does not exist.
  std::string text_of(const std::string& file_name) const;
  // Tensors under canonical names (see canonical_tensor_name), every one exactly once.
  const std::map<std::string, TensorEntry>& tensors() const { return tensors_; }
  // How a tensor is packed, or null when it is stored as it is.
  const PackedTensor* packed(const std::string& tensor) const;
  bool has_packed_tensors() const { return !packed_.empty(); }
  // The file a tensor lies in, for messages.
  const std::string& file_of(const std::string& tensor) const;
  std::size_t total_bytes() const;
  // Takes all tensors whose names begin so out of this process's memory ("": all); they are read
  // again when they are used. Those of a checkpoint in memory stay: there is nothing to read.
  void release_pages(std::string_view name_prefix) const noexcept;
  std::size_t n_files() const { return files_.size(); }

 private:
  void open_shards();
  // Maps a file of the folder and adds its tensors; returns them under their stored names.
  std::map<std::string, TensorEntry> add_file(const std::string& file_name);

  std::filesystem::path folder_;
  std::map<std::string, std::string> texts_;
  AnonymousMemory memory_;  // of a checkpoint in memory
  std::size_t written_bytes_ = 0;
  std::vector<MappedFile> files_;
  std::map<std::string, TensorEntry> tensors_;
  std::map<std::string, std::string> file_of_;
  std::map<std::string, PackedTensor> packed_;
};

// "visual.…" and "model.layers.…" whatever layout wrote the name: leading "model.visual.",
// "model.language_model.", "language_model.model.", "model.language_model.model." are folded.
std::string canonical_tensor_name(const std::string& name);

// A model argument → a folder or a .gguf file: an existing one, or "org/name[@revision]" in the
// standard Hugging Face cache (HF_HUB_CACHE, HF_HOME, ~/.cache/huggingface/hub). Throws bad_request
// saying where it looked and how to download.
std::filesystem::path resolve_model(const std::string& model);

// Whether "org/name[@revision]" has a place in that cache: it was downloaded, or that has begun.
bool is_in_cache(const std::string& repository_id);

}  // namespace qwenvl
