// Qwen2.5-VL as a Model.
#pragma once

#include <memory>
#include <optional>

#include "models/model.h"

namespace qwenvl::qwen2_5_vl {

std::unique_ptr<Model> make(const Checkpoint& checkpoint, std::optional<DType> compute);

}  // namespace qwenvl::qwen2_5_vl
