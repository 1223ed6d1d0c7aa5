// Splits products with packed weights into tasks: some panels against some rows.
#include "backend/cpu/packed_linear.h"

#include <algorithm>
#include <numeric>

namespace qwenvl::cpu {
namespace {

constexpr std::int64_t kRowsAtOnce = 512;             // quantised before they are multiplied
constexpr std::int64_t kPanelsPerTask = 4;            // with many rows
constexpr std::int64_t kActivationBytes = 384 << 10;  // stay in the second-level cache
constexpr std::int64_t kFloat = sizeof(float);

std::byte* row_of(const Tensor& x, std::int64_t i) {
  return static_cast<std::byte*>(x.data) +
         i * x.row_stride * static_cast<std::int64_t>(size_of(x.type));
}

// Where the results of a panel go.
std::byte* columns_of(const Tensor& out, std::int64_t panel) {
  return row_of(out, 0) + panel * kPanelRows * static_cast<std::int64_t>(size_of(out.type));
}

const float* bias_of(const LinearPart& part, std::int64_t panel) {
  return part.bias.empty() ? nullptr : part.bias.data() + panel * kPanelRows;
}

std::int64_t width_of(const Weight& w, std::int64_t panel) {
  return std::min(kPanelRows, w.n_out - panel * kPanelRows);
}

bool is_grouped(Packing packing) { return packing != Packing::int8; }

}  // namespace

PackedLinear::PackedLinear(const KernelTable& kernels, ThreadPool& pool)
    : kernels_(kernels), pool_(pool), scratch_(static_cast<std::size_t>(pool.n_threads())) {}

bool PackedLinear::can_share(std::span<const LinearPart> parts) {
  return std::all_of(parts.begin(), parts.end(), [&](const LinearPart& part) {
    return part.weight->is_packed() && part.weight->n_in == parts[0].weight->n_in &&
           is_grouped(part.weight->packing) == is_grouped(parts[0].weight->packing);
  });
}

bool PackedLinear::takes_tiles(std::int64_t m) const {
  return kernels_.packed->takes_tiles && kernels_.packed->takes_tiles(m);
}

const RowKernels& PackedLinear::rows(DType type) const {
  return type == DType::bf16 ? kernels_.bf16 : kernels_.f32;
}

// ---- activations -------------------------------------------------------------------------------

PackedProduct PackedLinear::quantise(const Tensor& x, const Weight& w) {
  PackedProduct p{};
  p.m = x.rows();
  p.k = padded_to_blocks(w.n_in);
  p.n_scales = is_grouped(w.packing) ? p.k / kBlock : 1;
  const std::int64_t n_sums = p.k / kSubGroup, per_scale = n_sums / p.n_scales;
  const bool is_tiled = takes_tiles(p.m);
  std::int8_t* q =
      reinterpret_cast<std::int8_t*>(activations_.floats((p.m + 15) / 16 * 16 * p.k / kFloat));
  float* scales = scales_.floats(p.m * (2 * p.n_scales + n_sums));
  std::int32_t* sums = reinterpret_cast<std::int32_t*>(scales + p.m * p.n_scales);
  std::int32_t* totals = sums + p.m * n_sums;
  pool_.parallel_for(p.m, [&](std::int64_t t, int thread) {
    float* row = scratch_[static_cast<std::size_t>(thread)].row.floats(w.n_in + p.k / kFloat);
    rows(x.type).widen(row_of(x, t), w.n_in, row);
    std::int8_t* bytes = is_tiled ? reinterpret_cast<std::int8_t*>(row + w.n_in) : q + t * p.k;
    kernels_.packed->quantise(row, w.n_in, is_grouped(w.packing), bytes, scales + t * p.n_scales,
                              sums + t * n_sums);
    for (std::int64_t i = 0; i < p.n_scales; ++i) {
      const std::int32_t* first = sums + t * n_sums + i * per_scale;
      totals[t * p.n_scales + i] = std::accumulate(first, first + per_scale, 0);
    }
    if (!is_tiled) return;
    for (std::int64_t i = 0; i < p.k; i += 64) {
      std::copy_n(bytes + i, 64, q + t / 16 * 16 * p.k + i * 16 + t % 16 * 64);
    }
  });
  p.a = q;
  p.a_scales = scales;
  p.a_sums = sums;
  p.a_totals = totals;
  return p;
}

// ---- tasks -------------------------------------------------------------------------------------

// Few rows are read at the speed of memory, best in long streams; many are better shared out in
// small parts.
std::int64_t PackedLinear::panels_per_task(std::int64_t panels, std::int64_t m) const {
  if (takes_tiles(m)) return kPanelsPerTask;
  return std::max(kPanelsPerTask, panels / (4 * pool_.n_threads()));
}

// Rows of x that a task's panels go over before the next rows. Kernels with tiles take a piece of
// each row at a time and so need no limit, and int4 panels are expanded for each block of rows;
// else what is in use must stay in the second-level cache.
std::int64_t PackedLinear::rows_at_once(const PackedProduct& p, Packing packing) const {
  if (packing == Packing::int4 || takes_tiles(p.m)) return p.m;
  return std::min(p.m, std::max<std::int64_t>(64, kActivationBytes / p.k / 32 * 32));
}

// Rows [first_row, first_row + n_rows) of x times some panels of w. Products that wait for each
// other lie side by side in the scratch memory: `part` 0 or 1.
PackedProduct PackedLinear::product_of(const PackedProduct& x, const Weight& w,
                                       std::int64_t first_panel, std::int64_t n_panels,
                                       std::int64_t first_row, std::int64_t n_rows,
                                       Scratch& scratch, int part) const {
  PackedProduct p = x;
  p.m = n_rows;
  p.a += first_row * x.k;
  p.a_scales += first_row * x.n_scales;
  p.a_sums += first_row * (x.k / kSubGroup);
  p.a_totals += first_row * x.n_scales;
  p.packing = w.packing;
  p.panel_bytes = panel_bytes(w.packing, w.n_in);
  p.panels = static_cast<const std::byte*>(w.data) + first_panel * p.panel_bytes;
  p.n_panels = n_panels;
  p.c_panel = (takes_tiles(x.m) ? (n_rows + 31) / 32 * 32 : n_rows) * kPanelRows;
  p.c = scratch.products.floats(2 * n_panels * p.c_panel) + part * n_panels * p.c_panel;
  p.scratch = reinterpret_cast<std::byte*>(scratch.expanded.floats(kPackedScratchBytes / kFloat));
  return p;
}

void PackedLinear::run_task(const PackedProduct& x, const Task& task, const Tensor& out,
                            Scratch& scratch) {
  const Weight& w = *task.part->weight;
  const std::int64_t block = rows_at_once(x, w.packing);
  for (std::int64_t t = 0; t < x.m; t += block) {
    const Tensor to = out.slice_rows(t, std::min(block, x.m - t));
    const PackedProduct p = product_of(x, w, task.first, task.n, t, to.rows(), scratch, 0);
    kernels_.packed->multiply(p);
    for (std::int64_t i = 0; i < task.n; ++i) {
      const std::int64_t panel = task.first + i;
      rows(to.type).store_products(p.c + i * p.c_panel, kPanelRows, p.m, bias_of(*task.part, panel),
                                   width_of(w, panel), columns_of(to, panel),
                                   to.row_stride * static_cast<std::int64_t>(size_of(to.type)));
    }
  }
}

void PackedLinear::linears(Tensor x, std::span<const LinearPart> parts) {
  std::int64_t panels = 0;
  for (const LinearPart& part : parts) panels += n_panels(part.weight->n_out);
  const std::int64_t per_task = panels_per_task(panels, std::min(kRowsAtOnce, x.rows()));
  std::vector<Task> tasks;
  for (const LinearPart& part : parts) {
    const std::int64_t n = n_panels(part.weight->n_out);
    for (std::int64_t first = 0; first < n; first += per_task) {
      tasks.push_back({&part, first, std::min(per_task, n - first)});
    }
  }
  for (std::int64_t begin = 0; begin < x.rows(); begin += kRowsAtOnce) {
    const std::int64_t n = std::min(kRowsAtOnce, x.rows() - begin);
    const PackedProduct quantised = quantise(x.slice_rows(begin, n), *parts[0].weight);
    pool_.parallel_for(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i, int thread) {
      const Task& task = tasks[static_cast<std::size_t>(i)];
      run_task(quantised, task, task.part->out.slice_rows(begin, n),
               scratch_[static_cast<std::size_t>(thread)]);
    });
  }
}

// The same panels of both, so that silu(gate) · up is formed where the products still are.
void PackedLinear::gated_linear(Tensor x, const LinearPart& gate, const LinearPart& up) {
  const Weight& w = *gate.weight;
  const std::int64_t panels = n_panels(w.n_out);
  for (std::int64_t begin = 0; begin < x.rows(); begin += kRowsAtOnce) {
    const Tensor out = gate.out.slice_rows(begin, std::min(kRowsAtOnce, x.rows() - begin));
    const PackedProduct quantised = quantise(x.slice_rows(begin, out.rows()), w);
    const std::int64_t per_task = panels_per_task(panels, quantised.m) / 2;
    const std::int64_t block = rows_at_once(quantised, w.packing);
    pool_.parallel_for((panels + per_task - 1) / per_task, [&](std::int64_t task, int thread) {
      Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
      const std::int64_t first = task * per_task, n = std::min(per_task, panels - first);
      for (std::int64_t t = 0; t < quantised.m; t += block) {
        const Tensor to = out.slice_rows(t, std::min(block, quantised.m - t));
        const PackedProduct g = product_of(quantised, w, first, n, t, to.rows(), scratch, 0);
        const PackedProduct u =
            product_of(quantised, *up.weight, first, n, t, to.rows(), scratch, 1);
        kernels_.packed->multiply(g);
        kernels_.packed->multiply(u);
        for (std::int64_t i = 0; i < n; ++i) {
          rows(to.type).store_gated(g.c + i * g.c_panel, u.c + i * u.c_panel, kPanelRows, to.rows(),
                                    bias_of(gate, first + i), bias_of(up, first + i),
                                    width_of(w, first + i), columns_of(to, first + i),
                                    to.row_stride * static_cast<std::int64_t>(size_of(to.type)));
        }
      }
    });
  }
}

std::int64_t PackedLinear::scratch_bytes(std::int64_t n_rows, const Weight& w) const {
  const std::int64_t m = std::min(kRowsAtOnce, n_rows), k = padded_to_blocks(w.n_in);
  const std::int64_t panels = panels_per_task(n_panels(w.n_out), m), rows = (m + 31) / 32 * 32;
  return (m + 15) * k + m * (2 * k / kBlock + k / kSubGroup) * kFloat +
         pool_.n_threads() *
             (w.n_in * kFloat + k + kPackedScratchBytes + 2 * panels * kPanelRows * rows * kFloat);
}

}  // namespace qwenvl::cpu
