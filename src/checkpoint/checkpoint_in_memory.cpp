// A checkpoint whose tensors are computed from another program's files, or copied from ours.
// Before: engine/open_checkpoint.cpp decides what each tensor becomes.   After: binder.cpp hands
// the tensors to the model, which cannot tell the difference.
#include "checkpoint/checkpoint.h"
#include "core/check.h"

namespace qwenvl {
namespace {

constexpr std::size_t kAlignment = 64;  // what packed matrices ask for

// What is written before the other tensors are converted or copied: vectors.
bool is_small(const Checkpoint::Declared& tensor) {
  return tensor.shape.rank() < 2 && !tensor.packed;
}

std::size_t aligned(std::size_t n_bytes) {
  return (n_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::size_t bytes_of(const Checkpoint::Declared& tensor) {
  return static_cast<std::size_t>(tensor.shape.count()) * size_of(tensor.type);
}

}  // namespace

Checkpoint Checkpoint::in_memory(std::filesystem::path folder,
                                 std::map<std::string, std::string> texts,
                                 const std::vector<Declared>& tensors) {
  Checkpoint checkpoint;
  checkpoint.folder_ = std::move(folder);
  checkpoint.texts_ = std::move(texts);
  std::size_t total = kAlignment;  // never nothing
  for (const Declared& tensor : tensors) total += aligned(bytes_of(tensor));
  const std::string purpose = checkpoint.folder_.string() + ": weights";
  checkpoint.memory_ = AnonymousMemory(total, purpose.c_str(), AnonymousMemory::Pages::large);
  std::byte* next = checkpoint.memory_.data();
  const auto place = [&](const Declared& tensor) {
    const std::span<const std::byte> bytes(next, bytes_of(tensor));
    next += aligned(bytes.size());
    const bool is_new =
        checkpoint.tensors_.emplace(tensor.name, TensorEntry{tensor.type, tensor.shape, bytes})
            .second;
    QWENVL_CHECK(is_new, "two tensors {}", quoted(tensor.name));
    checkpoint.file_of_.emplace(tensor.name, tensor.file);
    if (tensor.packed) checkpoint.packed_.emplace(tensor.name, *tensor.packed);
  };
  // Small ones side by side: each page comes whole, and whoever only plans has written no others.
  for (const Declared& tensor : tensors) {
    if (is_small(tensor)) place(tensor);
  }
  for (const Declared& tensor : tensors) {
    if (!is_small(tensor)) place(tensor);
  }
  return checkpoint;
}

std::span<std::byte> Checkpoint::writable(const std::string& tensor) {
  const auto at = tensors_.find(tensor);
  QWENVL_CHECK(is_in_memory() && at != tensors_.end(), "no tensor {} in memory", quoted(tensor));
  const std::span<const std::byte> bytes = at->second.bytes;
  written_bytes_ += bytes.size();
  return {memory_.data() + (bytes.data() - memory_.data()), bytes.size()};
}

}  // namespace qwenvl
