// Conversation → token ids, M-RoPE positions and media slots.
// Before: text/ renders and tokenizes.   After: engine/ schedules, language.cpp reads positions.
// Mirrors placeholder expansion and get_rope_index of the reference.
#include "models/qwen2_5_vl/prompt.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace qwenvl::qwen2_5_vl {
namespace {

constexpr std::int32_t kLargestTimeStep = 1 << 28;  // sums of a few stay far from overflowing

std::int32_t time_step(std::int64_t k, const MediaRun& run, double tokens_per_second,
                       TemporalIds kind) {
  if (!run.is_video) return 0;  // a still has one grid
  double step = 0;
  if (kind == TemporalIds::whole_seconds) {
    // k · int(fl32(seconds)) · tps
    const float whole = std::trunc(static_cast<float>(run.seconds_per_grid));
    step = static_cast<double>(k) * whole * tokens_per_second;
  } else {
    // trunc( fl32(fl32(k) · seconds) · tps )
    const float seconds = static_cast<float>(k) * static_cast<float>(run.seconds_per_grid);
    step = seconds * static_cast<float>(tokens_per_second);
  }
  if (!(step >= 0 && step <= kLargestTimeStep)) {
    fail(ErrorKind::bad_request,
         "prompt: {} seconds between frames give the time position {}, expected at most {}",
         run.seconds_per_grid, step, kLargestTimeStep);
  }
  return static_cast<std::int32_t>(step);
}

// Each placeholder id becomes as many as its picture or clip has tokens.
void expand_placeholders(const std::vector<TokenId>& ids, const Conversation& conversation,
                         const Config& config, Prompt& prompt) {
  std::size_t next = 0;
  for (const TokenId id : ids) {
    if (id != config.image_token_id && id != config.video_token_id) {
      prompt.ids.push_back(id);
      continue;
    }
    if (next == conversation.media.size()) {
      fail(ErrorKind::bad_request, "prompt: more placeholders than the {} pictures and clips given",
           next);
    }
    const VisionInput& input = *conversation.media[next];
    if (input.is_video != (id == config.video_token_id)) {
      fail(ErrorKind::bad_request, "prompt: placeholder {} is for a {}, found a {}", next + 1,
           input.is_video ? "picture" : "clip", input.is_video ? "clip" : "picture");
    }
    prompt.slots.push_back(
        {static_cast<std::int64_t>(prompt.ids.size()), input.n_tokens, static_cast<int>(next)});
    prompt.ids.insert(prompt.ids.end(), static_cast<std::size_t>(input.n_tokens), id);
    ++next;
  }
  if (next != conversation.media.size()) {
    fail(ErrorKind::bad_request,
         "prompt: {} pictures and clips given, the messages have places for {}",
         conversation.media.size(), next);
  }
}

}  // namespace

Positions mrope_positions(std::int64_t n_tokens, std::span<const MediaRun> media,
                          double tokens_per_second, TemporalIds temporal_ids) {
  Positions out;
  out.axes.resize(static_cast<std::size_t>(3 * n_tokens));
  std::int32_t* time = out.axes.data();
  std::int32_t* height = time + n_tokens;
  std::int32_t* width = height + n_tokens;
  std::int64_t token = 0;
  const auto text_until = [&](std::int64_t end) {
    for (; token < end; ++token) time[token] = height[token] = width[token] = out.next++;
  };
  for (const MediaRun& run : media) {
    text_until(run.first_token);
    const std::int32_t base = out.next;
    for (std::int64_t k = 0; k < run.grid.t; ++k) {
      const std::int32_t step = time_step(k, run, tokens_per_second, temporal_ids);
      for (std::int64_t y = 0; y < run.grid.h / 2; ++y) {
        for (std::int64_t x = 0; x < run.grid.w / 2; ++x, ++token) {
          time[token] = base + step;
          height[token] = base + static_cast<std::int32_t>(y);
          width[token] = base + static_cast<std::int32_t>(x);
          out.next = std::max({out.next, time[token] + 1, height[token] + 1, width[token] + 1});
        }
      }
    }
  }
  text_until(n_tokens);
  return out;
}

Prompt lay_out(const Conversation& conversation, const Tokenizer& tokenizer, const Config& config,
               TemporalIds temporal_ids) {
  Prompt prompt;
  const auto pieces = render_chat(conversation.messages, conversation.options);
  const auto untrusted =
      conversation.parse_special_tokens ? SpecialTokens::parse : SpecialTokens::as_text;
  expand_placeholders(encode_chat(tokenizer, pieces, untrusted), conversation, config, prompt);
  for (TokenId id : prompt.ids) {
    if (id >= config.text.vocab_size) {
      fail(ErrorKind::bad_file,
           "tokenizer: token {} is outside the model's vocabulary of {}: they do not belong "
           "together",
           id, config.text.vocab_size);
    }
  }
  std::vector<MediaRun> runs;
  for (const MediaSlot& slot : prompt.slots) {
    const VisionInput& input = *conversation.media[static_cast<std::size_t>(slot.media)];
    runs.push_back({slot.first_token, input.grid, input.is_video, input.seconds_per_grid});
  }
  Positions positions = mrope_positions(static_cast<std::int64_t>(prompt.ids.size()), runs,
                                        config.vision.tokens_per_second, temporal_ids);
  prompt.positions = std::move(positions.axes);
  prompt.next_position = positions.next;
  return prompt;
}

}  // namespace qwenvl::qwen2_5_vl
