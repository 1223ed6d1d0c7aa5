// What a request asks for, after generation_config.json and the library's defaults have filled the
// gaps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "qwenvl/engine.h"

namespace qwenvl {

struct GenerationSettings {
  bool do_sample = false;
  float temperature = 1;
  int top_k = 50;
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;
  int no_repeat_ngram_size = 0;
  int min_new_tokens = 0;
  std::optional<int> max_new_tokens;
  std::optional<int> max_length;  // prompt and new tokens together; max_new_tokens goes before it
  int num_beams = 1;
  float length_penalty = 1;
  EarlyStopping early_stopping = EarlyStopping::no;
  int num_return_sequences = 1;
  std::vector<std::int32_t> eos_token_ids;
};

// generation_config.json over the reference's defaults; "" (no such file) gives the defaults.
// Throws bad_file, or unsupported for a field that would change answers and is not computed here.
GenerationSettings parse_generation_config(const std::string& json, const std::string& where);

// The request's own wishes over those. Throws bad_request naming a value out of range, or wishes
// that exclude each other. temperature 0 means greedy; beams are searched, not sampled, unless
// do_sample is asked for.
GenerationSettings merged(const GenerationSettings& defaults, const Sampling& wishes);

}  // namespace qwenvl
