#include "engine/weight_parts.h"

#include <utility>

namespace qwenvl {

WeightPart part_of(std::string_view tensor_name) {
  if (tensor_name.starts_with("visual.")) return WeightPart::vision;
  if (tensor_name.starts_with("lm_head.")) return WeightPart::head;
  if (tensor_name.starts_with("model.embed_tokens.")) return WeightPart::embedding;
  return WeightPart::decoder;
}

WeightBytes weight_bytes(const Checkpoint& checkpoint) {
  WeightBytes bytes;
  for (const auto& [name, entry] : checkpoint.tensors()) {
    const std::int64_t n = static_cast<std::int64_t>(entry.bytes.size());
    switch (part_of(name)) {
      case WeightPart::vision: bytes.vision += n; break;
      case WeightPart::decoder: bytes.decoder += n; break;
      case WeightPart::embedding: bytes.embedding += n; break;
      case WeightPart::head: bytes.head += n; break;
    }
  }
  if (bytes.head == 0) std::swap(bytes.head, bytes.embedding);
  return bytes;
}

}  // namespace qwenvl
