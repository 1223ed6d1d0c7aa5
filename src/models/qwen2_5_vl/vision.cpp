// The vision tower: patches in, features out.
// Before: preprocess.cpp.   After: language.cpp.
// Mirrors Qwen2_5_VisionTransformerPretrainedModel of the reference modeling_qwen2_5_vl.py.
//
// Rows are kept in window order from the patch embedding to the merger. Work goes through the
// layers in chunks of whole windows, so that beside the residual stream only a bounded number of
// rows is ever in memory; layers with full attention first compute the keys and values of all rows.
//
// Shapes:  S patches · n patches of a chunk · H hidden 1280 · A heads 16 · D head size 80 · F 3420
#include "models/qwen2_5_vl/vision.h"

#include <algorithm>
#include <cmath>

#include "models/qwen2_5_vl/input/windows.h"

namespace qwenvl::qwen2_5_vl {
namespace {

constexpr float kNormEpsilon = 1e-6f;  // fixed in the reference's tower
constexpr double kRopeTheta = 10000;

class Tower {
 public:
  Tower(Backend& backend, Workspace& workspace, const VisionConfig& config,
        const VisionWeights& weights, std::span<const Grid> grids, DType compute,
        const Trace* trace)
      : b_(backend),
        w_(workspace),
        c_(config),
        weights_(weights),
        compute_(compute),
        trace_(trace),
        order_(window_order(grids, config)),
        chunks_(chunks_of(order_.windows)),
        n_patches_(4 * static_cast<std::int64_t>(order_.cells.size())) {
    build_rope(grids);
  }

  void run(const PatchSource& patches, Tensor features) {
    Tensor x = w_.take(compute_, {n_patches_, c_.hidden_size});  // [S, H], the residual stream
    embed(patches, x);
    traced("vision.patch_embed", 0, x);
    for (int i = 0; i < c_.depth; ++i) {
      const bool is_full =
          std::count(c_.full_attention_blocks.begin(), c_.full_attention_blocks.end(), i) > 0;
      is_full ? full_block(weights_.blocks[i], x) : window_block(weights_.blocks[i], x);
      traced("vision.block", i, x);
    }
    merge(x, features);
    traced("vision.merger", 0, features);
  }

 private:
  void traced(const char* name, int layer, const Tensor& value) {
    if (trace_ && *trace_) (*trace_)(name, layer, value);
  }

  // cos and sin of (y · f, x · f) for every patch in window order.     [S, D / 2] each
  void build_rope(std::span<const Grid> grids) {
    const int quarter = c_.head_dim() / 4;
    std::vector<float> frequency(
        static_cast<std::size_t>(quarter));  // 1 / theta^(2i / (D/2)), float32
    for (int i = 0; i < quarter; ++i) {
      frequency[i] = 1.0f / std::pow(static_cast<float>(kRopeTheta),
                                     static_cast<float>(2 * i) / static_cast<float>(2 * quarter));
    }
    std::vector<std::int64_t> first_cell;  // of each grid
    std::int64_t n_cells = 0;
    for (const Grid& grid : grids) {
      first_cell.push_back(n_cells);
      n_cells += grid.n_patches() / 4;
    }
    cos_ = w_.take(DType::f32, {n_patches_, 2 * quarter});
    sin_ = w_.take(DType::f32, {n_patches_, 2 * quarter});
    b_.parallel_for(static_cast<std::int64_t>(order_.cells.size()), [&](std::int64_t place) {
      const std::int64_t cell = order_.cells[place];
      const std::size_t g =
          std::upper_bound(first_cell.begin(), first_cell.end(), cell) - first_cell.begin() - 1;
      const std::int64_t high = grids[g].h / 2, wide = grids[g].w / 2;
      const std::int64_t in_frame =
          (cell - first_cell[g]) % (high * wide);  // time has no influence
      for (int row = 0; row < 4; ++row) {
        const float y = static_cast<float>(in_frame / wide * 2 + row / 2);
        const float x = static_cast<float>(in_frame % wide * 2 + row % 2);
        float* cos = cos_.row<float>(4 * place + row);
        float* sin = sin_.row<float>(4 * place + row);
        for (int i = 0; i < quarter; ++i) {
          cos[i] = std::cos(y * frequency[i]);
          sin[i] = std::sin(y * frequency[i]);
          cos[quarter + i] = std::cos(x * frequency[i]);
          sin[quarter + i] = std::sin(x * frequency[i]);
        }
      }
    });
  }

  // x = cast(pixel_values) · W₁₁₇₆ᵀ, rows picked in window order
  void embed(const PatchSource& patches, Tensor x) {
    const std::int64_t width = c_.patch_width();
    for (const RowRange& chunk : chunks_) {
      const Workspace::Scope scope(w_);
      const std::int64_t n = chunk.end - chunk.begin;
      Tensor rows = w_.take(compute_, {n, width});  // [n, 1176]
      b_.parallel_for(n / 4, [&](std::int64_t i) {
        std::vector<float> cell(static_cast<std::size_t>(4 * width));
        patches(order_.cells[chunk.begin / 4 + i], cell.data());
        for (std::int64_t j = 0; j < 4 * width; ++j) {
          if (compute_ == DType::bf16) {
            rows.row<bf16>(4 * i)[j] = to_bf16(cell[j]);
          } else {
            rows.row<float>(4 * i)[j] = cell[j];
          }
        }
      });
      b_.linear(rows, weights_.patch_embed.weight, {}, x.slice_rows(chunk.begin, n));
    }
  }

  // q, k, v of the rows [begin, end), rotated.                          qkv [n, 3H]
  void project(const VisionBlock& block, Tensor x, RowRange range, Tensor qkv) {
    const Workspace::Scope scope(w_);
    const std::int64_t n = range.end - range.begin, hidden = c_.hidden_size;
    Tensor h = w_.take(compute_, {n, hidden});
    const LinearPart part{&block.qkv.weight, block.qkv.bias, qkv, {}};
    b_.linears({x.slice_rows(range.begin, n), block.norm1, kNormEpsilon, h}, {&part, 1});
    const Tensor cos = cos_.slice_rows(range.begin, n), sin = sin_.slice_rows(range.begin, n);
    // Heads of q and those of k lie one behind the other.
    b_.rope(qkv.slice_columns(0, 2 * hidden), 2 * c_.n_heads, cos, sin, RopeRounding::once);
  }

  // x += proj(attention);  x += mlp(norm2(x)) for the rows [begin, end).
  // q [n, H] holds the rows' queries; spans index q's rows and the rows of k and v.
  void finish_block(const VisionBlock& block, Tensor x, RowRange range, Tensor q, Tensor k,
                    Tensor v, std::span<const AttentionSpan> spans) {
    const Workspace::Scope scope(w_);
    const std::int64_t n = range.end - range.begin, hidden = c_.hidden_size,
                       width = c_.intermediate_size;
    Tensor rows = x.slice_rows(range.begin, n);
    Tensor h = w_.take(compute_, {n, hidden});
    Tensor attended = w_.take(compute_, {n, hidden});
    const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c_.head_dim())));
    b_.attention_spans(q, k, v, c_.n_heads, spans, scale, attended);
    const LinearPart proj{&block.proj.weight, block.proj.bias, h, rows};
    b_.linears(attended, {&proj, 1});
    Tensor gate = w_.take(compute_, {n, width});
    const Tensor up =
        b_.needs_up(block.gate.weight, block.up.weight) ? w_.take(compute_, {n, width}) : Tensor();
    b_.gated_linear({rows, block.norm2, kNormEpsilon, h},
                    {&block.gate.weight, block.gate.bias, gate, {}},
                    {&block.up.weight, block.up.bias, up, {}});
    const LinearPart down{&block.down.weight, block.down.bias, h, rows};
    b_.linears(gate, {&down, 1});
  }

  void window_block(const VisionBlock& block, Tensor x) {
    const std::int64_t hidden = c_.hidden_size;
    for (const RowRange& chunk : chunks_) {
      const Workspace::Scope scope(w_);
      Tensor qkv = w_.take(compute_, {chunk.end - chunk.begin, 3 * hidden});
      project(block, x, chunk, qkv);
      const auto spans = spans_within(chunk, order_.windows, chunk.begin);
      finish_block(block, x, chunk, qkv.slice_columns(0, hidden), qkv.slice_columns(hidden, hidden),
                   qkv.slice_columns(2 * hidden, hidden), spans);
    }
  }

  // Every patch sees all patches of its own temporal grid, never another frame or picture.
  void full_block(const VisionBlock& block, Tensor x) {
    const Workspace::Scope scope(w_);
    const std::int64_t hidden = c_.hidden_size;
    Tensor qkv = w_.take(compute_, {n_patches_, 3 * hidden});  // [S, 3H]
    for (const RowRange& chunk : chunks_) {
      project(block, x, chunk, qkv.slice_rows(chunk.begin, chunk.end - chunk.begin));
    }
    const Tensor k = qkv.slice_columns(hidden, hidden), v = qkv.slice_columns(2 * hidden, hidden);
    for (const RowRange& chunk : chunks_) {
      const auto spans = spans_within(chunk, order_.frames, 0);
      const Tensor q =
          qkv.slice_rows(chunk.begin, chunk.end - chunk.begin).slice_columns(0, hidden);
      finish_block(block, x, chunk, q, k, v, spans);
    }
  }

  // The segments that overlap a chunk: queries relative to the chunk, keys relative to key_origin.
  std::vector<AttentionSpan> spans_within(RowRange chunk,
                                          const std::vector<std::int64_t>& boundaries,
                                          std::int64_t key_origin) const {
    std::vector<AttentionSpan> spans;
    auto it = std::upper_bound(boundaries.begin(), boundaries.end(), chunk.begin);
    for (; it != boundaries.end() && *(it - 1) < chunk.end; ++it) {
      const std::int64_t begin = *(it - 1), end = *it;
      spans.push_back({std::max(begin, chunk.begin) - chunk.begin,
                       std::min(end, chunk.end) - chunk.begin, begin - key_origin,
                       end - key_origin});
    }
    return spans;
  }

  // y = ln_q(x); four rows side by side; out = W2 · gelu(W0 · y + b0) + b2, back in t, y, x order
  void merge(Tensor x, Tensor features) {
    const std::int64_t merged = 4 * std::int64_t{c_.hidden_size};
    const std::int64_t row_bytes =
        c_.out_hidden_size * static_cast<std::int64_t>(size_of(compute_));
    for (const RowRange& chunk : chunks_) {
      const Workspace::Scope scope(w_);
      const std::int64_t n = chunk.end - chunk.begin;
      Tensor y = w_.take(compute_, {n, c_.hidden_size});
      b_.rms_norm(x.slice_rows(chunk.begin, n), weights_.merger_norm, kNormEpsilon, y);
      const Tensor cells(y.data, compute_, {n / 4, merged});  // [n / 4, 4H]
      Tensor h = w_.take(compute_, {n / 4, merged});
      b_.linear(cells, weights_.merger_in.weight, weights_.merger_in.bias, h);
      b_.gelu(h);
      Tensor out = w_.take(compute_, {n / 4, c_.out_hidden_size});
      b_.linear(h, weights_.merger_out.weight, weights_.merger_out.bias, out);
      for (std::int64_t i = 0; i < n / 4; ++i) {
        const std::int64_t cell = order_.cells[chunk.begin / 4 + i];
        std::copy_n(static_cast<const std::byte*>(out.data) + i * row_bytes, row_bytes,
                    static_cast<std::byte*>(features.data) + cell * row_bytes);
      }
    }
  }

  Backend& b_;
  Workspace& w_;
  const VisionConfig& c_;
  const VisionWeights& weights_;
  const DType compute_;
  const Trace* trace_;
  const WindowOrder order_;
  const std::vector<RowRange> chunks_;
  const std::int64_t n_patches_;
  Tensor cos_, sin_;  // [S, D / 2] float32
};

}  // namespace

void encode_patches(Backend& backend, Workspace& workspace, const VisionConfig& config,
                    const VisionWeights& weights, std::span<const Grid> grids,
                    const PatchSource& patches, Tensor features, const Trace* trace) {
  const Workspace::Scope scope(workspace);
  Tower(backend, workspace, config, weights, grids, features.type, trace).run(patches, features);
}

}  // namespace qwenvl::qwen2_5_vl
