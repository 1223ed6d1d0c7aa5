// Scratch memory of one step: a stack of aligned blocks that is given back in reverse order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/anonymous_memory.h"
#include "core/tensor.h"

namespace qwenvl {

class Workspace {
 public:
  Workspace() = default;
  // Takes no memory: its tensors point nowhere, but peak_bytes counts. For planning.
  static Workspace counting();

  // Uninitialised memory, 64-byte aligned, valid until the enclosing Scope ends.
  Tensor take(DType type, Shape shape);

  // Everything taken after a Scope began is given back when it ends; the memory stays for reuse.
  class Scope {
   public:
    explicit Scope(Workspace& workspace);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& workspace_;
    std::size_t block_, used_bytes_;
  };

  // Gives unused memory back to the system: the next steps may be of another size.
  void trim();
  // The most bytes that tensors ever lay in: what becomes resident when they are written.
  std::size_t peak_bytes() const { return peak_bytes_; }

 private:
  struct Block {
    AnonymousMemory memory;
    std::size_t size_bytes = 0;
    std::size_t touched_bytes = 0;  // from its beginning
  };
  bool is_counting_ = false;
  std::vector<Block> blocks_;
  std::size_t block_ = 0;                           // index of the block in use
  std::size_t used_bytes_ = 0;                      // within it
  std::size_t touched_bytes_ = 0, peak_bytes_ = 0;  // of all blocks
};

}  // namespace qwenvl
