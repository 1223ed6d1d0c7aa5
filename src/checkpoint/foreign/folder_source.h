// Opens a Hugging Face folder, quantised or not, as a source of weights.
// Before: weight_source.cpp saw a folder of safetensors.   After: whoever reads rows.
#pragma once

#include <filesystem>
#include <memory>

#include "checkpoint/weight_source.h"

namespace qwenvl {

std::unique_ptr<WeightSource> open_folder_source(const std::filesystem::path& folder);

}  // namespace qwenvl
