// Opens the two GGUF files of a model as a source of weights.
// Before: weight_source.cpp saw a .gguf.   After: whoever reads rows.
#pragma once

#include <filesystem>
#include <memory>

#include "checkpoint/gguf/gguf.h"
#include "checkpoint/weight_source.h"

namespace qwenvl {

// `path` is the language file, or a folder that holds just one; `projector` may be empty.
std::unique_ptr<WeightSource> open_gguf(const std::filesystem::path& path,
                                        const std::filesystem::path& projector);

// tokenizer.json of the language file `path` (or of a folder that holds just one), without the
// vision file: what it says itself, else the file beside it. Throws bad_request when there is
// neither.
std::string tokenizer_json_of_gguf(const std::filesystem::path& path);

// The tensors of two parsed files under canonical names. They point into both files' bytes.
WeightSource::Tensors tensors_from_gguf(const GgufFile& language, const std::string& language_file,
                                        const GgufFile& vision, const std::string& vision_file);

// The .gguf files of a folder: projectors (named *mmproj*), or the others. Sorted.
std::vector<std::filesystem::path> gguf_files(const std::filesystem::path& folder, bool projectors);

}  // namespace qwenvl
