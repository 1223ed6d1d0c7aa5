// A name for all patches of a picture or clip, bit for bit, to compare with golden files.
#pragma once

#include <string>
#include <vector>

#include "media/media_files.h"
#include "models/qwen2_5_vl/input/preprocess.h"

namespace qwenvl::qwen2_5_vl {

inline std::string patches_sha256(const VisionInput& input, const VisionConfig& vision,
                                  Normalisation kind) {
  const NormalisationTable table(PreprocessorConfig{}, kind);
  std::vector<float> values(
      static_cast<std::size_t>(input.grid.n_patches() * vision.patch_width()));
  for (std::int64_t cell = 0; cell < input.n_tokens; ++cell) {
    fill_patches(input, vision, table, cell, values.data() + cell * 4 * vision.patch_width());
  }
  return test::sha256(
      {reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(float)});
}

}  // namespace qwenvl::qwen2_5_vl
