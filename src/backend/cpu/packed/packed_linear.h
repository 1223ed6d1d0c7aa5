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
  void linears(const LinearInput& input, std::span<const LinearPart> parts);
  void gated_linear(const LinearInput& input, const LinearPart& gate, const LinearPart& up);

  // Whether feed_forward takes these matrices.
  static bool can_feed_forward(const Weight& gate, const Weight& up, const Weight& down);
  // down.out = what linear makes of gated_linear's result, bit for bit. That result is quantised
  // block by block where it arises and never stored, so gate.out and up.out may be empty.
  void feed_forward(const LinearInput& input, const LinearPart& gate, const LinearPart& up,
                    const LinearPart& down);

  void forget_scratch();
  // Memory kept for n_rows rows, at most; of feed_forward besides that of gate and up.
  std::int64_t scratch_bytes(std::int64_t n_rows, const Weight& w) const;
  std::int64_t feed_forward_bytes(std::int64_t n_rows, const Weight& gate, const Weight& down,
                                  DType type) const;

 private:
  struct Task {
    const LinearPart* part;
    std::int64_t first, n;  // panels
  };
  struct Rows {
    std::int64_t begin, end;
  };
  // What one thread needs besides its inputs.
  struct Scratch {
    FloatBuffer normed, row, expanded, products, gated;
  };
  struct Activations {
    FloatBuffer numbers, scales;
  };
  // Where the quantised activations of a product go.
  struct Room {
    std::int8_t* q;
    float* scales;
    std::int32_t *sums, *starts;
    std::int64_t m, k, n_scales;
    bool is_grouped, is_tiled;
  };

  bool takes_tiles(std::int64_t m) const;
  const RowKernels& rows(DType type) const;
  Room room_for(std::int64_t m, const Weight& w, Activations& memory) const;
  void quantise_row(const Room& room, std::int64_t t, std::int64_t first_block,
                    const std::byte* row, DType type, std::int64_t n, Scratch& scratch) const;
  static PackedProduct product_of(const Room& room);
  void fetch_panels(const Weight& w, std::int64_t row, std::int64_t n_rows) const;
  PackedProduct quantise(const LinearInput& input, std::int64_t first_row, std::int64_t n_rows,
                         const Weight& w);
  bool is_in_short_blocks(const Weight& w) const;
  std::int64_t most_panels(const Weight& w) const;
  std::int64_t panels_per_task(const Weight& w, std::int64_t m) const;
  std::int64_t most_rows(std::int64_t n_rows, const Weight& w) const;
  std::int64_t rows_per_part(std::int64_t n_rows, const Weight& w) const;
  std::int64_t rows_at_once(const PackedProduct& p, Packing packing) const;
  std::int64_t row_groups(const PackedProduct& p, Packing packing) const;
  static Rows part_of(Rows rows, std::int64_t i, std::int64_t n);
  template <class Body>
  void for_tasks(const PackedProduct& x, Packing packing, std::int64_t n_tasks, const Body& body);
  template <class Body>
  void for_row_blocks(const PackedProduct& x, Packing packing, Rows rows, const Body& body);
  PackedProduct product_of(const PackedProduct& x, const Weight& w, std::int64_t first_panel,
                           std::int64_t n_panels, Rows rows, Rows all, Scratch& scratch,
                           int part) const;
  static void fetch_results(const Tensor& out, const Task& panels, Rows rows);
  void run_task(const PackedProduct& x, const Task& task, Rows group, Rows part, const Tensor& out,
                Scratch& scratch);
  std::vector<Task> tasks_of(std::span<const LinearPart> parts, std::int64_t m) const;
  void run_tasks(const PackedProduct& x, std::span<const Task> tasks, std::int64_t first_row);
  void store_gated_task(const PackedProduct& x, const LinearPart& gate, const LinearPart& up,
                        const Task& panels, Rows group, Rows part, const Tensor& out,
                        Scratch& scratch);
  void gate_into(const PackedProduct& x, const LinearPart& gate, const LinearPart& up, DType type,
                 const Room& room);
  static std::int64_t gated_panels_per_task();
  std::int64_t activation_bytes(std::int64_t m, const Weight& w) const;
  std::int64_t product_bytes(std::int64_t m, const Weight& w) const;

  const KernelTable& kernels_;
  ThreadPool& pool_;
  std::vector<Scratch> scratch_;  // one per thread
  Activations activations_, hidden_;
};

}  // namespace qwenvl::cpu
