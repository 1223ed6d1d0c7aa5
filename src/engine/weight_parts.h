// Which part of the network a tensor belongs to: what is read, and resident, when.
// Before: checkpoint/ names the tensors.   After: memory_plan.cpp and bench_model.cpp add them up.
#pragma once

#include <cstdint>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace qwenvl {

enum class WeightPart { vision, decoder, embedding, head };

WeightPart part_of(std::string_view tensor_name);

// As stored. A head that is tied to the embedding counts as the head, which reads all of it.
struct WeightBytes {
  std::int64_t vision = 0, decoder = 0, embedding = 0, head = 0;
};
WeightBytes weight_bytes(const Checkpoint& checkpoint);

}  // namespace qwenvl
