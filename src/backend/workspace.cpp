// Scratch memory of one step, in blocks that are kept for the next.
// Before: a step begins.   After: models/ take tensors out of it.
#include "backend/workspace.h"

#include <algorithm>

namespace qwenvl {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kSmallestBlock = 8u << 20;

}  // namespace

Tensor Workspace::take(DType type, Shape shape) {
  const std::size_t wanted = static_cast<std::size_t>(shape.count()) * size_of(type);
  const std::size_t bytes =
      std::max(kAlignment, (wanted + kAlignment - 1) / kAlignment * kAlignment);
  while (block_ < blocks_.size() && used_bytes_ + bytes > blocks_[block_].size_bytes()) {
    ++block_;
    used_bytes_ = 0;
  }
  if (block_ == blocks_.size()) {
    const std::size_t size = std::max(bytes, kSmallestBlock);
    blocks_.emplace_back(size, "workspace");
  }
  Tensor out(blocks_[block_].data() + used_bytes_, type, shape);
  used_bytes_ += bytes;
  std::size_t total = used_bytes_;
  for (std::size_t i = 0; i < block_; ++i) total += blocks_[i].size_bytes();
  peak_bytes_ = std::max(peak_bytes_, total);
  return out;
}

Workspace::Scope::Scope(Workspace& workspace)
    : workspace_(workspace), block_(workspace.block_), used_bytes_(workspace.used_bytes_) {}

Workspace::Scope::~Scope() {
  workspace_.block_ = block_;
  workspace_.used_bytes_ = used_bytes_;
}

void Workspace::trim() {
  const std::size_t n_used = used_bytes_ ? block_ + 1 : block_;
  if (n_used < blocks_.size())
    blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(n_used), blocks_.end());
}

}  // namespace qwenvl
