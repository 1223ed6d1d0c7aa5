// What the tensors of the two GGUF files are called in the published checkpoint.
// Before: gguf.cpp lists them.   After: open.cpp joins what GGUF stores in pieces.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace qwenvl {

// "blk.3.attn_q.bias" → "model.layers.3.self_attn.q_proj.bias"; "" when no such tensor belongs to
// the language file.
std::string name_from_language_gguf(std::string_view name);

// The published tensor a tensor of the vision file belongs to: all of it, or a piece.
struct VisionName {
  enum class Piece {
    whole,
    query,  // of attn.qkv, rows in this order
    key,
    value,
    first_frame,  // of the patch embedding, which looks at two frames
    second_frame,
  };
  std::string name;
  Piece piece = Piece::whole;
};
std::optional<VisionName> name_from_vision_gguf(std::string_view name);

}  // namespace qwenvl
