// Products of bf16 rows with bf16 weights as they are stored, shared out among the threads.
// Before: cpu_backend.cpp.   After: linear_<isa>.cpp multiplies, kernels_<isa>.cpp rounds the
// results.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "backend/cpu/float_buffer.h"
#include "backend/cpu/kernel_table.h"
#include "core/thread_pool.h"

namespace qwenvl::cpu {

class Bf16Products {
 public:
  // Both must outlive this.
  Bf16Products(const KernelTable& kernels, ThreadPool& pool);

  // Whether the kernels multiply such rows with such weights.
  bool can_multiply(DType type, const Weight& w) const;

  // As the verbs of Backend, for rows and weights that can be multiplied. gated_linear's gate.out
  // is bf16, and up.out is left alone.
  void linear(const Tensor& x, const LinearPart& part);
  void gated_linear(const Tensor& x, const LinearPart& gate, const LinearPart& up);

  void forget_scratch();
  // Memory kept for n_rows rows, at most.
  std::int64_t scratch_bytes(std::int64_t n_rows, const Weight& w) const;

 private:
  // What one thread needs besides its inputs.
  struct Scratch {
    FloatBuffer weights, products;
  };
  // Rows as the kernels want them: [m, k], zeros behind n_in numbers.
  struct Rows {
    const bf16* a;
    std::int64_t m, k;
  };

  Rows rows_of(const Tensor& x);
  bool takes_few(const Rows& x) const;
  std::int64_t panels_at_once(const Rows& x) const;
  template <class Store>
  void for_panels(const Rows& x, std::span<const Weight* const> weights, const Tensor& out,
                  const Store& store);

  const KernelTable& kernels_;
  ThreadPool& pool_;
  std::vector<Scratch> scratch_;  // one per thread
  FloatBuffer activations_;
};

}  // namespace qwenvl::cpu
