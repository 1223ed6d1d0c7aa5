// The configuration and tokenizer texts of the published folder, from GGUF metadata.
// Before: gguf.cpp.   After: whoever parses the texts of a folder (models/, text/).
#pragma once

#include <string>

#include "checkpoint/gguf/gguf.h"

namespace qwenvl {

// Throws bad_file or unsupported when the two files are no Qwen2.5-VL pair.
std::string config_json_from_gguf(const GgufFile& language, const GgufFile& vision);
// min_pixels, max_pixels and what colours are normalised with.
std::string preprocessor_config_json_from_gguf(const GgufFile& vision);
// Where generation ends.
std::string generation_config_json_from_gguf(const GgufFile& language);

// What other programs look up beside tokenizer.json: the family, the token that ends an answer and
// the chat template, where the file has one.
std::string tokenizer_config_json_from_gguf(const GgufMetadata& language);

// tokenizer.json from tokenizer.ggml.*; "" when the file has no tokenizer ("no_vocab", or no such
// keys). Throws unsupported when it has one of another family.
std::string tokenizer_json_from_gguf(const GgufMetadata& language);

}  // namespace qwenvl
