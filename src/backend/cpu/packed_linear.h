// Products with packed weights: activations quantised once, panels shared out among the threads.
// Before: cpu_backend.cpp.   After: packed_<isa>.cpp multiply, kernels_<isa>.cpp round the results.
#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/float_buffer.h"
#include "backend/cpu/kernel_table.h"
#include "core/thread_pool.h"

namespace qwenvl::cpu {

class PackedLinear {
 public:
  // Both must outlive this.
  PackedLinear(const KernelTable& kernels, ThreadPool& pool);

  // Whether all weights are packed, and so that they take the same bytes of activations.
  static bool can_share(std::span<const LinearPart> parts);

  // As the verbs of Backend, for parts that can share.
  void linears(Tensor x, std::span<const LinearPart> parts);
  void gated_linear(Tensor x, const LinearPart& gate, const LinearPart& up);

  // Memory kept for n_rows rows, at most.
  std::int64_t scratch_bytes(std::int64_t n_rows, const Weight& w) const;

 private:
  struct Task {
    const LinearPart* part;
    std::int64_t first, n;  // panels
  };
  // What one thread needs besides its inputs.
  struct Scratch {
    FloatBuffer row, expanded, products;
  };

  bool takes_tiles(std::int64_t m) const;
  const RowKernels& rows(DType type) const;
  PackedProduct quantise(const Tensor& x, const Weight& w);
  std::int64_t panels_per_task(std::int64_t panels, std::int64_t m) const;
  std::int64_t rows_at_once(const PackedProduct& p, Packing packing) const;
  PackedProduct product_of(const PackedProduct& x, const Weight& w, std::int64_t first_panel,
                           std::int64_t n_panels, std::int64_t first_row, std::int64_t n_rows,
                           Scratch& scratch, int part) const;
  void run_task(const PackedProduct& x, const Task& task, const Tensor& out, Scratch& scratch);

  const KernelTable& kernels_;
  ThreadPool& pool_;
  std::vector<Scratch> scratch_;  // one per thread
  FloatBuffer activations_, scales_;
};

}  // namespace qwenvl::cpu
