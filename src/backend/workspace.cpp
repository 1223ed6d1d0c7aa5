// Scratch memory of one step, in blocks that are kept for the next.
// Before: a step begins.   After: models/ take tensors out of it.
#include "backend/workspace.h"

#include <algorithm>

namespace qwenvl {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kSmallestBlock = 8u << 20;

}  // namespace

Workspace Workspace::counting() {
  Workspace workspace;
  workspace.is_counting_ = true;
  return workspace;
}

Tensor Workspace::take(DType type, Shape shape) {
  const std::size_t wanted = static_cast<std::size_t>(shape.count()) * size_of(type);
  const std::size_t bytes =
      std::max(kAlignment, (wanted + kAlignment - 1) / kAlignment * kAlignment);
  while (block_ < blocks_.size() && used_bytes_ + bytes > blocks_[block_].size_bytes) {
    ++block_;
    used_bytes_ = 0;
  }
  if (block_ == blocks_.size()) {
    const std::size_t size = std::max(bytes, kSmallestBlock);
    blocks_.push_back(
        {is_counting_ ? AnonymousMemory() : AnonymousMemory(size, "workspace"), size});
  }
  Block& block = blocks_[block_];
  Tensor out(is_counting_ ? nullptr : block.memory.data() + used_bytes_, type, shape);
  used_bytes_ += bytes;
  if (used_bytes_ > block.touched_bytes) {
    touched_bytes_ += used_bytes_ - block.touched_bytes;
    block.touched_bytes = used_bytes_;
    peak_bytes_ = std::max(peak_bytes_, touched_bytes_);
  }
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
  while (blocks_.size() > n_used) {
    touched_bytes_ -= blocks_.back().touched_bytes;
    blocks_.pop_back();
  }
}

}  // namespace qwenvl
