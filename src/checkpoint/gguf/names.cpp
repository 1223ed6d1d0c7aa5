// The names of llama.cpp's qwen2vl and qwen2.5vl files, as tables.
// Before: gguf.cpp lists the tensors.   After: open.cpp.
// Mirrors the tensor names that llama.cpp's converter writes.
#include "checkpoint/gguf/names.h"

#include <fmt/format.h>

#include <span>

namespace qwenvl {
namespace {

struct Renaming {
  std::string_view from, to;
};

constexpr Renaming kLanguage[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

constexpr Renaming kLanguageBlock[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_q.bias", "self_attn.q_proj.bias"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_k.bias", "self_attn.k_proj.bias"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
};

constexpr Renaming kVision[] = {
    {"v.post_ln.weight", "visual.merger.ln_q.weight"},
    {"mm.0.weight", "visual.merger.mlp.0.weight"},
    {"mm.0.bias", "visual.merger.mlp.0.bias"},
    {"mm.2.weight", "visual.merger.mlp.2.weight"},
    {"mm.2.bias", "visual.merger.mlp.2.bias"},
};

constexpr Renaming kVisionBlock[] = {
    {"ln1.weight", "norm1.weight"},
    {"ln2.weight", "norm2.weight"},
    {"attn_qkv.weight", "attn.qkv.weight"},
    {"attn_qkv.bias", "attn.qkv.bias"},
    {"attn_out.weight", "attn.proj.weight"},
    {"attn_out.bias", "attn.proj.bias"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_gate.bias", "mlp.gate_proj.bias"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_up.bias", "mlp.up_proj.bias"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_down.bias", "mlp.down_proj.bias"},
};

struct PieceName {
  std::string_view from, to;
  VisionName::Piece piece;
};

constexpr PieceName kVisionPieces[] = {
    {"attn_q.weight", "attn.qkv.weight", VisionName::Piece::query},
    {"attn_k.weight", "attn.qkv.weight", VisionName::Piece::key},
    {"attn_v.weight", "attn.qkv.weight", VisionName::Piece::value},
    {"attn_q.bias", "attn.qkv.bias", VisionName::Piece::query},
    {"attn_k.bias", "attn.qkv.bias", VisionName::Piece::key},
    {"attn_v.bias", "attn.qkv.bias", VisionName::Piece::value},
};

constexpr std::string_view kPatches = "visual.patch_embed.proj.weight";

std::string_view renamed(std::span<const Renaming> table, std::string_view name) {
  for (const Renaming& renaming : table) {
    if (renaming.from == name) return renaming.to;
  }
  return {};
}

// "<prefix>3.attn_q.bias" → "3" and "attn_q.bias"; false when the name has another form. One way to
// write a number only, so that no two names become one.
bool split_block(std::string_view name, std::string_view prefix, std::string_view& index,
                 std::string_view& rest) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  const std::size_t dot = name.find('.');
  if (dot == name.npos || dot == 0 || dot > 4) return false;
  index = name.substr(0, dot);
  rest = name.substr(dot + 1);
  return index.find_first_not_of("0123456789") == index.npos && (index == "0" || index[0] != '0');
}

}  // namespace

std::string name_from_language_gguf(std::string_view name) {
  std::string_view index, rest;
  if (!split_block(name, "blk.", index, rest)) return std::string(renamed(kLanguage, name));
  const std::string_view found = renamed(kLanguageBlock, rest);
  return found.empty() ? "" : fmt::format("model.layers.{}.{}", index, found);
}

std::optional<VisionName> name_from_vision_gguf(std::string_view name) {
  using Piece = VisionName::Piece;
  if (name == "v.patch_embd.weight") return VisionName{std::string(kPatches), Piece::first_frame};
  if (name == "v.patch_embd.weight.1") {
    return VisionName{std::string(kPatches), Piece::second_frame};
  }
  std::string_view index, rest;
  if (!split_block(name, "v.blk.", index, rest)) {
    const std::string_view found = renamed(kVision, name);
    if (found.empty()) return {};
    return VisionName{std::string(found), Piece::whole};
  }
  const auto in_block = [&](std::string_view found, Piece piece) {
    return VisionName{fmt::format("visual.blocks.{}.{}", index, found), piece};
  };
  if (const std::string_view found = renamed(kVisionBlock, rest); !found.empty()) {
    return in_block(found, Piece::whole);
  }
  for (const PieceName& piece : kVisionPieces) {
    if (piece.from == rest) return in_block(piece.to, piece.piece);
  }
  return {};
}

}  // namespace qwenvl
