// Conversation → token ids, M-RoPE positions and media slots.
// Before: text/ renders and tokenizes.   After: engine/ schedules, language.cpp reads positions.
// Mirrors placeholder expansion and get_rope_index of the reference.
#pragma once

#include <span>

#include "models/model.h"
#include "models/qwen2_5_vl/config.h"

namespace qwenvl::qwen2_5_vl {

// What positions need to know about a run of placeholder ids.
struct MediaRun {
  std::int64_t first_token;
  Grid grid;
  bool is_video;
  double seconds_per_grid;
  // Of a clip in several runs: which of its pairs this begins with. Above 0, it belongs to the
  // block of the run before.
  std::int64_t first_pair = 0;
  std::span<const double> pair_seconds = {};  // where pairs follow unevenly: when they are shown
};

struct Positions {
  std::vector<std::int32_t> axes;  // [3, n_tokens]: time, height, width
  std::int32_t next = 0;  // one more than the largest; the reference's delta is next - n_tokens
};

// Text counts up on all axes; a picture or clip spans a block (t, h/2, w/2) and text resumes after
// its largest coordinate. Pair k of a clip is at trunc(fl32(k · seconds) · tokens_per_second), or,
// shown unevenly, at trunc(fl32(its seconds) · tokens_per_second).
Positions mrope_positions(std::int64_t n_tokens, std::span<const MediaRun> media,
                          double tokens_per_second, TemporalIds temporal_ids);

Prompt lay_out(const Conversation& conversation, const Tokenizer& tokenizer, const Config& config,
               TemporalIds temporal_ids);

}  // namespace qwenvl::qwen2_5_vl
