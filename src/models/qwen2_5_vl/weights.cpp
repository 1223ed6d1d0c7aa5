// The tensor table: every name, its shape, and the struct it fills.
// Before: checkpoint/binder.cpp finds and checks tensors.   After: vision.cpp, language.cpp.
#include "models/qwen2_5_vl/weights.h"

#include <cstdint>
#include <optional>

#include "core/numbers.h"
#include "formats/packed.h"

namespace qwenvl::qwen2_5_vl {
namespace {

// Small vectors (norms, biases) are copied to float32; matrices stay where they are mapped.
std::vector<float> as_floats(const Tensor& tensor) {
  std::vector<float> out;
  if (!tensor) return out;  // missing: Binder::finish reports it
  const std::int64_t n = tensor.shape.count();
  out.reserve(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    switch (tensor.type) {
      case DType::bf16: out.push_back(to_float(static_cast<const bf16*>(tensor.data)[i])); break;
      case DType::f16: out.push_back(to_float(static_cast<const fp16*>(tensor.data)[i])); break;
      default: out.push_back(static_cast<const float*>(tensor.data)[i]);
    }
  }
  return out;
}

class Table {
 public:
  explicit Table(const Checkpoint& checkpoint) : binder(checkpoint) {}

  std::vector<float> vector(const std::string& name, std::int64_t n) {
    return as_floats(binder.bind(name, {n}));
  }
  Weight matrix(const std::string& name, std::int64_t n_out, std::int64_t n_in) {
    const Binder::Matrix matrix = binder.bind_matrix(name, {n_out, n_in});
    if (matrix.packing.empty()) return Weight(matrix.tensor);
    return packed_matrix(name, matrix, n_out, n_in);
  }
  Linear linear(const std::string& name, std::int64_t n_out, std::int64_t n_in, bool has_bias) {
    Linear out;
    out.weight = matrix(name + ".weight", n_out, n_in);
    if (has_bias) out.bias = vector(name + ".bias", n_out);
    return out;
  }

  Binder binder;

 private:
  Weight packed_matrix(const std::string& name, const Binder::Matrix& matrix, std::int64_t n_out,
                       std::int64_t n_in) {
    const std::optional<Packing> packing = packing_named(matrix.packing);
    if (!packing) {
      binder.refuse(name,
                    fmt::format("is packed as {}, expected int8, int8_grouped or int4; a newer "
                                "version of qwenvl may have written it",
                                quoted(matrix.packing)));
      return {};
    }
    const std::int64_t bytes = packed_bytes(*packing, n_out, n_in);
    if (matrix.tensor.shape.count() != bytes) {
      binder.refuse(
          name, fmt::format("has {} bytes, expected {} for [{}, {}] as {}",
                            matrix.tensor.shape.count(), bytes, n_out, n_in, name_of(*packing)));
      return {};
    }
    if (reinterpret_cast<std::uintptr_t>(matrix.tensor.data) % 64 != 0) {
      binder.refuse(name,
                    "does not begin at a multiple of 64 bytes of its file, expected what "
                    "qwenvl quantize writes");
      return {};
    }
    return Weight(matrix.tensor.data, *packing, n_out, n_in);
  }
};

VisionWeights bind_vision(Table& table, const VisionConfig& c) {
  VisionWeights w;
  const std::int64_t hidden = c.hidden_size, width = c.intermediate_size, merged = 4 * hidden;
  w.patch_embed.weight = Weight(table.binder.bind(
      "visual.patch_embed.proj.weight",
      {hidden, c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size}));
  for (int i = 0; i < c.depth; ++i) {
    const std::string at = "visual.blocks." + std::to_string(i);
    VisionBlock& block = w.blocks.emplace_back();
    block.norm1 = table.vector(at + ".norm1.weight", hidden);
    block.norm2 = table.vector(at + ".norm2.weight", hidden);
    block.qkv = table.linear(at + ".attn.qkv", 3 * hidden, hidden, true);
    block.proj = table.linear(at + ".attn.proj", hidden, hidden, true);
    block.gate = table.linear(at + ".mlp.gate_proj", width, hidden, true);
    block.up = table.linear(at + ".mlp.up_proj", width, hidden, true);
    block.down = table.linear(at + ".mlp.down_proj", hidden, width, true);
  }
  w.merger_norm = table.vector("visual.merger.ln_q.weight", hidden);
  w.merger_in = table.linear("visual.merger.mlp.0", merged, merged, true);
  w.merger_out = table.linear("visual.merger.mlp.2", c.out_hidden_size, merged, true);
  return w;
}

LanguageWeights bind_language(Table& table, const TextConfig& c) {
  LanguageWeights w;
  const std::int64_t hidden = c.hidden_size, width = c.intermediate_size;
  const std::int64_t q_width = std::int64_t{c.n_heads} * c.head_dim,
                     kv_width = std::int64_t{c.n_kv_heads} * c.head_dim;
  w.embedding = table.matrix("model.embed_tokens.weight", c.vocab_size, hidden);
  for (int i = 0; i < c.n_layers; ++i) {
    const std::string at = "model.layers." + std::to_string(i);
    DecoderLayer& layer = w.layers.emplace_back();
    layer.input_norm = table.vector(at + ".input_layernorm.weight", hidden);
    layer.post_attention_norm = table.vector(at + ".post_attention_layernorm.weight", hidden);
    layer.q = table.linear(at + ".self_attn.q_proj", q_width, hidden, true);
    layer.k = table.linear(at + ".self_attn.k_proj", kv_width, hidden, true);
    layer.v = table.linear(at + ".self_attn.v_proj", kv_width, hidden, true);
    layer.o = table.linear(at + ".self_attn.o_proj", hidden, q_width, false);
    layer.gate = table.linear(at + ".mlp.gate_proj", width, hidden, false);
    layer.up = table.linear(at + ".mlp.up_proj", width, hidden, false);
    layer.down = table.linear(at + ".mlp.down_proj", hidden, width, false);
  }
  w.norm = table.vector("model.norm.weight", hidden);
  // A tied model has no head of its own; some savers write the shared matrix a second time.
  if (!c.tie_word_embeddings || table.binder.has("lm_head.weight")) {
    w.head = table.matrix("lm_head.weight", c.vocab_size, hidden);
  }
  if (c.tie_word_embeddings) w.head = w.embedding;
  return w;
}

}  // namespace

Weights bind_weights(const Checkpoint& checkpoint, const Config& config) {
  Table table(checkpoint);
  Weights weights{bind_vision(table, config.vision), bind_language(table, config.text)};
  table.binder.finish();
  return weights;
}

}  // namespace qwenvl::qwen2_5_vl
