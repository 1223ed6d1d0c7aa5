// Splits products with packed weights into tasks: some panels against some rows.
#include "backend/cpu/packed/packed_linear.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace qwenvl::cpu {
namespace {

// Rows that are quantised before they are multiplied: many where groups of them stay with a thread.
constexpr std::int64_t kRowsAtOnce = 512, kManyRowsAtOnce = 1536;
constexpr std::int64_t kTileRowsBytes = 900 << 10;  // of them where whole rows of tiles are read
constexpr std::int64_t kPanelsPerTask = 4, kManyRows = 32;
constexpr std::int64_t kTaskBytes = 128 << 10;        // of W, read by few rows
constexpr std::int64_t kActivationBytes = 384 << 10;  // stay in the second-level cache
// Fewest rows of a group that its thread keeps, and of its parts; they begin at whole blocks of all
// kernels.
constexpr std::int64_t kRowsPerGroup = 256, kRowsOfPart = 144, kRowsTogether = 24;
constexpr std::int64_t kFloat = sizeof(float);

std::int64_t bytes_between_rows(const Tensor& x) {
  return x.row_stride * static_cast<std::int64_t>(size_of(x.type));
}

std::byte* row_of(const Tensor& x, std::int64_t i) {
  return static_cast<std::byte*>(x.data) + i * bytes_between_rows(x);
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

PackedLinear::Room PackedLinear::room_for(std::int64_t m, const Weight& w,
                                          Activations& memory) const {
  Room room{};
  room.m = m;
  room.k = padded_to_blocks(w.n_in);
  room.is_grouped = is_grouped(w.packing);
  room.n_scales = room.is_grouped ? room.k / kBlock : 1;
  room.is_tiled = takes_tiles(m);
  const std::int64_t n_sums = room.k / kSubGroup;
  room.q =
      reinterpret_cast<std::int8_t*>(memory.numbers.floats((m + 15) / 16 * 16 * room.k / kFloat));
  room.scales = memory.scales.floats(m * (2 * room.n_scales + n_sums));
  room.sums = reinterpret_cast<std::int32_t*>(room.scales + m * room.n_scales);
  room.starts = room.sums + m * n_sums;
  return room;
}

PackedProduct PackedLinear::product_of(const Room& room) {
  PackedProduct p{};
  p.a = room.q;
  p.a_scales = room.scales;
  p.a_sums = room.sums;
  p.a_starts = room.starts;
  p.m = room.m;
  p.k = room.k;
  p.n_scales = room.n_scales;
  return p;
}

// n numbers of row t from a block on: bytes, a scale and the sums of each group.
void PackedLinear::quantise_row(const Room& room, std::int64_t t, std::int64_t first_block,
                                const std::byte* row, DType type, std::int64_t n,
                                Scratch& scratch) const {
  const std::int64_t n_sums = room.k / kSubGroup, per_scale = n_sums / room.n_scales;
  const std::int64_t first = first_block * kBlock, padded = padded_to_blocks(n);
  // Where 64 numbers begin, and the next 64.
  std::int8_t* q = room.is_tiled ? room.q + t / 16 * 16 * room.k + first * 16 + t % 16 * 64
                                 : room.q + t * room.k + first;
  const std::int64_t step = room.is_tiled ? 16 * 64 : 64;
  float* scales = room.scales + t * room.n_scales + first_block;
  std::int32_t* sums = room.sums + t * n_sums + first_block * (kBlock / kSubGroup);
  std::int32_t* starts = room.starts + t * room.n_scales + first_block;
  if (type == DType::bf16 && kernels_.packed->quantise_bf16) {
    kernels_.packed->quantise_bf16(reinterpret_cast<const bf16*>(row), n, room.is_grouped, q, step,
                                   scales, sums, starts);
    return;
  }
  float* wide = scratch.row.floats(n + padded / kFloat);
  std::int8_t* bytes = room.is_tiled ? reinterpret_cast<std::int8_t*>(wide + n) : q;
  rows(type).widen(row, n, wide);
  kernels_.packed->quantise(wide, n, room.is_grouped, bytes, scales, sums);
  for (std::int64_t i = 0; room.is_tiled && i < padded / 64; ++i) {
    std::memcpy(q + i * step, bytes + i * 64, 64);
  }
  const std::int64_t n_scales = room.is_grouped ? padded / kBlock : 1;
  for (std::int64_t i = 0; i < n_scales; ++i) {
    const std::int32_t* from = sums + i * per_scale;
    starts[i] = -128 * std::accumulate(from, from + per_scale, 0);
  }
}

// What the first task of each thread's group of rows multiplies with, a little with each of the rows
// before.
void PackedLinear::fetch_panels(const Weight& w, std::int64_t row, std::int64_t n_rows) const {
  const std::int64_t per_group = n_rows / pool_.n_threads();
  const std::int64_t n_lines =
      std::min(most_panels(w), n_panels(w.n_out)) * panel_bytes(w.packing, w.n_in) / 64;
  const std::int64_t at = row % per_group;
  const std::byte* from = static_cast<const std::byte*>(w.data);
  for (std::int64_t i = n_lines * at / per_group; i < n_lines * (at + 1) / per_group; ++i) {
    __builtin_prefetch(from + 64 * i, 0, 2);
  }
}

// Rows are normed one by one, so that what is quantised still lies in the first-level cache.
PackedProduct PackedLinear::quantise(const LinearInput& input, std::int64_t first_row,
                                     std::int64_t n_rows, const Weight& w) {
  const Tensor x = input.x.slice_rows(first_row, n_rows);
  const Room room = room_for(n_rows, w, activations_);
  const bool fetches = is_in_short_blocks(w) && row_groups(product_of(room), w.packing) > 1;
  pool_.parallel_for(n_rows, [&](std::int64_t t, int thread) {
    if (fetches) fetch_panels(w, t, n_rows);
    Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
    const std::byte* row = row_of(x, t);
    if (!input.norm.empty()) {
      float* normed = scratch.normed.floats(w.n_in);
      rows(x.type).rms_norm(row, input.norm.data(), input.eps, w.n_in, normed);
      row = reinterpret_cast<const std::byte*>(normed);
    }
    quantise_row(room, t, 0, row, x.type, w.n_in, scratch);
  });
  return product_of(room);
}

// ---- tasks -------------------------------------------------------------------------------------

// Whether results are taken away after a few rows: products then take little room, and more panels
// can share the reading of x.
bool PackedLinear::is_in_short_blocks(const Weight& w) const {
  return w.packing != Packing::int4 && kernels_.packed->int8_rows_at_once > 0;
}

std::int64_t PackedLinear::most_panels(const Weight& w) const {
  return is_in_short_blocks(w) ? 2 * kPanelsPerTask : kPanelsPerTask;
}

// Many rows take small pieces of W. Few rows read W at the speed of memory, each thread its part
// from end to end; pieces are only large enough for what a task costs by itself, so that nobody
// waits long for the last.
std::int64_t PackedLinear::panels_per_task(const Weight& w, std::int64_t m) const {
  if (m >= kManyRows || takes_tiles(m)) return most_panels(w);
  return std::clamp<std::int64_t>(kTaskBytes / panel_bytes(w.packing, w.n_in), 1, kPanelsPerTask);
}

// Rows that are quantised before they are multiplied, at most. Tiles of int8 go over whole rows
// again for each panel, so they stay in the second-level cache; those of other packings take a
// piece of each row at a time.
std::int64_t PackedLinear::most_rows(std::int64_t n_rows, const Weight& w) const {
  std::int64_t most = is_in_short_blocks(w) ? kManyRowsAtOnce : kRowsAtOnce;
  if (w.packing == Packing::int8 && takes_tiles(n_rows)) {
    most = std::clamp<std::int64_t>(kTileRowsBytes / padded_to_blocks(w.n_in) / 32 * 32, 128, most);
  }
  return std::min(most, n_rows);
}

// Parts of about equal size: a rest of few rows would read all weights for little.
std::int64_t PackedLinear::rows_per_part(std::int64_t n_rows, const Weight& w) const {
  const std::int64_t most = most_rows(n_rows, w);
  if (n_rows <= most) return n_rows;
  const std::int64_t n_parts = (n_rows + most - 1) / most;
  const std::int64_t equal = (n_rows + n_parts - 1) / n_parts;
  return std::min(most, (equal + 15) / 16 * 16);
}

// Rows of x that a task's panels go over before the next rows. Kernels with tiles take a piece of
// each row at a time and so need no limit, and int4 panels are expanded for each block of rows;
// others say how many rows they take at once, or else what is in use must stay in the second-level
// cache.
std::int64_t PackedLinear::rows_at_once(const PackedProduct& p, Packing packing) const {
  if (packing == Packing::int4 || takes_tiles(p.m)) return p.m;
  const std::int64_t few = kernels_.packed->int8_rows_at_once;
  return few > 0 ? few : std::max<std::int64_t>(64, kActivationBytes / p.k / 32 * 32);
}

// Groups of rows that all panels go over before the next group. Each thread has its own, if they
// have enough rows for reading the weights again: activations then stay in its cache from one
// product to the next.
std::int64_t PackedLinear::row_groups(const PackedProduct& p, Packing packing) const {
  if (packing == Packing::int4 || takes_tiles(p.m)) return 1;
  return std::clamp<std::int64_t>(p.m / kRowsPerGroup, 1, pool_.n_threads());
}

// Part i of n about equal ones of some rows.
PackedLinear::Rows PackedLinear::part_of(Rows rows, std::int64_t i, std::int64_t n) {
  const auto begin = [&](std::int64_t part) {
    const std::int64_t offset = (rows.end - rows.begin) * part / n;
    return part == n ? rows.end : rows.begin + offset / kRowsTogether * kRowsTogether;
  };
  return {begin(i), begin(i + 1)};
}

// body(task, group of rows, part of the group, scratch) for all of n_tasks tasks, some panels each,
// and all rows: all of a group before the next, and the parts of a group one after the other while
// the panels are in the cache. A thread that is done then waits for no more than a part, and those
// of a group's last task are small.
template <class Body>
void PackedLinear::for_tasks(const PackedProduct& x, Packing packing, std::int64_t n_tasks,
                             const Body& body) {
  const std::int64_t n_groups = row_groups(x, packing);
  const auto parts_of = [&](std::int64_t rows) {
    return n_groups == 1 ? 1 : std::max<std::int64_t>(1, x.m / n_groups / rows);
  };
  const std::int64_t n_parts = parts_of(kRowsOfPart), n_last = parts_of(kRowsTogether);
  const std::int64_t n_before = (n_tasks - 1) * n_parts, n = n_before + n_last;
  pool_.parallel_for(n_groups * n, [&](std::int64_t i, int thread) {
    const Rows group = part_of({0, x.m}, i / n, n_groups);
    const std::int64_t at = i % n;
    const bool is_last = at >= n_before;
    body(is_last ? n_tasks - 1 : at / n_parts, group,
         is_last ? part_of(group, at - n_before, n_last) : part_of(group, at % n_parts, n_parts),
         scratch_[static_cast<std::size_t>(thread)]);
  });
}

// body(some of the rows) block by block; a short rest goes with the last block.
template <class Body>
void PackedLinear::for_row_blocks(const PackedProduct& x, Packing packing, Rows rows,
                                  const Body& body) {
  const std::int64_t block = rows_at_once(x, packing);
  for (std::int64_t t = rows.begin; t < rows.end;) {
    const std::int64_t left = rows.end - t, n = left < block + block / 2 ? left : block;
    body(Rows{t, t + n});
    t += n;
  }
}

// Some rows of x, part of all that the panels go over, times some panels of w. Products that wait
// for each other lie side by side in the scratch memory: `part` 0 or 1.
PackedProduct PackedLinear::product_of(const PackedProduct& x, const Weight& w,
                                       std::int64_t first_panel, std::int64_t n_panels, Rows rows,
                                       Rows all, Scratch& scratch, int part) const {
  const std::int64_t first_row = rows.begin, n_rows = rows.end - rows.begin;
  PackedProduct p = x;
  p.m = n_rows;
  p.a += first_row * x.k;
  p.a_scales += first_row * x.n_scales;
  p.a_sums += first_row * (x.k / kSubGroup);
  p.a_starts += first_row * x.n_scales;
  p.packing = w.packing;
  p.n_in = w.n_in;
  p.fetches_near = kernels_.packed->fetches_near;
  p.panel_bytes = panel_bytes(w.packing, w.n_in);
  p.panels = static_cast<const std::byte*>(w.data) + first_panel * p.panel_bytes;
  p.n_panels = n_panels;
  // The panels that follow, in equal parts for each block of rows.
  const std::int64_t n_next =
      std::min(n_panels, qwenvl::n_panels(w.n_out) - first_panel - n_panels);
  const auto part_of = [&](std::int64_t row) {
    return n_next * p.panel_bytes * (row - all.begin) / (all.end - all.begin) / 64 * 64;
  };
  p.next = p.panels + n_panels * p.panel_bytes + part_of(rows.begin);
  p.next_bytes = part_of(rows.end) - part_of(rows.begin);
  p.c_panel = (takes_tiles(x.m) ? (n_rows + 31) / 32 * 32 : n_rows) * kPanelRows;
  p.c = scratch.products.floats(2 * n_panels * p.c_panel) + part * n_panels * p.c_panel;
  p.scratch = reinterpret_cast<std::byte*>(scratch.expanded.floats(kPackedScratchBytes / kFloat));
  return p;
}

// Where a few rows will be stored, into the cache while they are multiplied.
void PackedLinear::fetch_results(const Tensor& out, const Task& panels, Rows rows) {
  if (rows.end - rows.begin > kManyRows + kRowsTogether) return;
  const std::int64_t stride = bytes_between_rows(out),
                     width = panels.n * kPanelRows * static_cast<std::int64_t>(size_of(out.type));
  for (std::int64_t t = rows.begin; t < rows.end; ++t) {
    const std::byte* row = columns_of(out, panels.first) + t * stride;
    for (std::int64_t i = 0; i < width; i += 64) __builtin_prefetch(row + i, 1, 2);
  }
}

void PackedLinear::run_task(const PackedProduct& x, const Task& task, Rows group, Rows part,
                            const Tensor& out, Scratch& scratch) {
  const Weight& w = *task.part->weight;
  const auto store =
      task.part->sum.data ? rows(out.type).store_added : rows(out.type).store_products;
  const std::int64_t stride = bytes_between_rows(out);
  for_row_blocks(x, w.packing, part, [&](Rows some) {
    const PackedProduct p = product_of(x, w, task.first, task.n, some, group, scratch, 0);
    fetch_results(out, task, some);
    kernels_.packed->multiply(p);
    for (std::int64_t i = 0; i < task.n; ++i) {
      const std::int64_t panel = task.first + i;
      store(p.c + i * p.c_panel, kPanelRows, p.m, bias_of(*task.part, panel), width_of(w, panel),
            columns_of(out, panel) + some.begin * stride, stride);
    }
  });
}

std::vector<PackedLinear::Task> PackedLinear::tasks_of(std::span<const LinearPart> parts,
                                                       std::int64_t m) const {
  std::vector<Task> tasks;
  for (const LinearPart& part : parts) {
    const std::int64_t n = n_panels(part.weight->n_out),
                       per_task = panels_per_task(*part.weight, m);
    for (std::int64_t first = 0; first < n; first += per_task) {
      tasks.push_back({&part, first, std::min(per_task, n - first)});
    }
  }
  return tasks;
}

void PackedLinear::run_tasks(const PackedProduct& x, std::span<const Task> tasks,
                             std::int64_t first_row) {
  for_tasks(x, tasks[0].part->weight->packing, static_cast<std::int64_t>(tasks.size()),
            [&](std::int64_t i, Rows group, Rows part, Scratch& scratch) {
              const Task& task = tasks[static_cast<std::size_t>(i)];
              const Tensor& out = task.part->sum.data ? task.part->sum : task.part->out;
              run_task(x, task, group, part, out.slice_rows(first_row, x.m), scratch);
            });
}

void PackedLinear::linears(const LinearInput& input, std::span<const LinearPart> parts) {
  const std::int64_t n_rows = input.x.rows();
  const std::int64_t at_once = rows_per_part(n_rows, *parts[0].weight);
  const std::vector<Task> tasks = tasks_of(parts, at_once);
  for (std::int64_t begin = 0; begin < n_rows; begin += at_once) {
    const std::int64_t n = std::min(at_once, n_rows - begin);
    run_tasks(quantise(input, begin, n, *parts[0].weight), tasks, begin);
  }
}

// ---- gated products ----------------------------------------------------------------------------

// The same panels of both, so that silu(gate) · up is formed where the products still are. out
// begins at the first of the task's panels.
void PackedLinear::store_gated_task(const PackedProduct& x, const LinearPart& gate,
                                    const LinearPart& up, const Task& panels, Rows group, Rows part,
                                    const Tensor& out, Scratch& scratch) {
  const Weight& w = *gate.weight;
  const std::int64_t first = panels.first, stride = bytes_between_rows(out);
  for_row_blocks(x, w.packing, part, [&](Rows some) {
    const PackedProduct g = product_of(x, w, first, panels.n, some, group, scratch, 0);
    const PackedProduct u = product_of(x, *up.weight, first, panels.n, some, group, scratch, 1);
    fetch_results(out, {&gate, 0, panels.n}, some);
    kernels_.packed->multiply(g);
    kernels_.packed->multiply(u);
    for (std::int64_t i = 0; i < panels.n; ++i) {
      rows(out.type).store_gated(g.c + i * g.c_panel, u.c + i * u.c_panel, kPanelRows, g.m,
                                 bias_of(gate, first + i), bias_of(up, first + i),
                                 width_of(w, first + i), columns_of(out, i) + some.begin * stride,
                                 stride);
    }
  });
}

void PackedLinear::gated_linear(const LinearInput& input, const LinearPart& gate,
                                const LinearPart& up) {
  const Weight& w = *gate.weight;
  const std::int64_t panels = n_panels(w.n_out), n_rows = input.x.rows();
  const std::int64_t at_once = rows_per_part(n_rows, w);
  for (std::int64_t begin = 0; begin < n_rows; begin += at_once) {
    const Tensor out = gate.out.slice_rows(begin, std::min(at_once, n_rows - begin));
    const PackedProduct quantised = quantise(input, begin, out.rows(), w);
    const std::int64_t per_task = std::max<std::int64_t>(1, panels_per_task(w, quantised.m) / 2);
    for_tasks(quantised, w.packing, (panels + per_task - 1) / per_task,
              [&](std::int64_t i, Rows group, Rows part, Scratch& scratch) {
                const Task task{&gate, i * per_task, std::min(per_task, panels - i * per_task)};
                const std::int64_t first = task.first * kPanelRows,
                                   n = std::min(task.n * kPanelRows, w.n_out - first);
                store_gated_task(quantised, gate, up, task, group, part,
                                 out.slice_columns(first, n), scratch);
              });
  }
}

bool PackedLinear::can_feed_forward(const Weight& gate, const Weight& up, const Weight& down) {
  return gate.is_packed() && gate.packing == up.packing && down.is_packed() &&
         is_grouped(down.packing);
}

// Panels of gate and of up in a task: whole blocks of what follows.
std::int64_t PackedLinear::gated_panels_per_task() { return kBlock / kPanelRows; }

// silu(gate) · up, rounded as gated_linear rounds it, → quantised activations.
void PackedLinear::gate_into(const PackedProduct& x, const LinearPart& gate, const LinearPart& up,
                             DType type, const Room& room) {
  const Weight& w = *gate.weight;
  const std::int64_t panels = n_panels(w.n_out), per_task = gated_panels_per_task();
  pool_.parallel_for((panels + per_task - 1) / per_task, [&](std::int64_t task, int thread) {
    Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
    const std::int64_t first = task * per_task, last = std::min(panels, first + per_task);
    const std::int64_t width = std::min(w.n_out, last * kPanelRows) - first * kPanelRows;
    const Tensor gated(
        scratch.gated.floats((x.m * width * static_cast<std::int64_t>(size_of(type)) + kFloat - 1) /
                             kFloat),
        type, {x.m, width});
    // Many rows: half a block at a time, so that the products stay in the second-level cache.
    const std::int64_t step = x.m >= kManyRows ? per_task / 2 : per_task;
    for (std::int64_t panel = first; panel < last; panel += step) {
      const Task some{&gate, panel, std::min(step, last - panel)};
      const std::int64_t column = (panel - first) * kPanelRows;
      store_gated_task(x, gate, up, some, {0, x.m}, {0, x.m},
                       gated.slice_columns(column, width - column), scratch);
    }
    for (std::int64_t t = 0; t < x.m; ++t) {
      quantise_row(room, t, first * kPanelRows / kBlock, row_of(gated, t), type, width, scratch);
    }
  });
}

void PackedLinear::feed_forward(const LinearInput& input, const LinearPart& gate,
                                const LinearPart& up, const LinearPart& down) {
  const std::int64_t n_rows = input.x.rows();
  const std::int64_t at_once = rows_per_part(n_rows, *gate.weight);
  const std::vector<Task> tasks = tasks_of({&down, 1}, at_once);
  for (std::int64_t begin = 0; begin < n_rows; begin += at_once) {
    const std::int64_t n = std::min(at_once, n_rows - begin);
    const PackedProduct quantised = quantise(input, begin, n, *gate.weight);
    const Room room = room_for(n, *down.weight, hidden_);
    gate_into(quantised, gate, up, input.x.type, room);
    run_tasks(product_of(room), tasks, begin);
  }
}

// ---- memory ------------------------------------------------------------------------------------

void PackedLinear::forget_scratch() {
  scratch_ = std::vector<Scratch>(scratch_.size());
  activations_ = {};
  hidden_ = {};
}

std::int64_t PackedLinear::activation_bytes(std::int64_t m, const Weight& w) const {
  const std::int64_t k = padded_to_blocks(w.n_in);
  return (m + 15) * k + m * (2 * k / kBlock + k / kSubGroup) * kFloat;
}

// Of a thread: products with up to m rows, by tiles or without.
std::int64_t PackedLinear::product_bytes(std::int64_t m, const Weight& w) const {
  const auto bytes = [&](std::int64_t rows) {
    return 2 * most_panels(w) * kPanelRows * rows * kFloat;
  };
  std::int64_t few = m;
  while (few > 0 && takes_tiles(few)) --few;
  if (is_in_short_blocks(w)) {
    few = std::min(few, kernels_.packed->int8_rows_at_once * 3 / 2);
  }
  return std::max(few < m && takes_tiles(m) ? bytes((m + 31) / 32 * 32) : 0, bytes(few));
}

std::int64_t PackedLinear::scratch_bytes(std::int64_t n_rows, const Weight& w) const {
  const std::int64_t m = most_rows(n_rows, w), k = padded_to_blocks(w.n_in);
  return activation_bytes(m, w) +
         pool_.n_threads() * (2 * w.n_in * kFloat + k + kPackedScratchBytes + product_bytes(m, w));
}

std::int64_t PackedLinear::feed_forward_bytes(std::int64_t n_rows, const Weight& gate,
                                              const Weight& down, DType type) const {
  const std::int64_t m = most_rows(n_rows, gate);
  const std::int64_t width = gated_panels_per_task() * kPanelRows;
  const std::int64_t gated = m * width * static_cast<std::int64_t>(size_of(type));
  const std::int64_t more =
      std::max<std::int64_t>(0, product_bytes(m, down) - product_bytes(m, gate));
  return activation_bytes(m, down) + pool_.n_threads() * (gated + more + width * (kFloat + 1));
}

}  // namespace qwenvl::cpu
