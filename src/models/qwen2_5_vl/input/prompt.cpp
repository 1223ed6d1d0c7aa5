// Conversation → token ids, M-RoPE positions and media slots.
// Before: text/ renders and tokenizes.   After: engine/ schedules, language.cpp reads positions.
// Mirrors placeholder expansion and get_rope_index of the reference.
#include "models/qwen2_5_vl/input/prompt.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace qwenvl::qwen2_5_vl {
namespace {

constexpr std::int32_t kLargestTimeStep = 1 << 28;  // sums of a few stay far from overflowing

// Of the k-th pair of a run, after the clip's first.
std::int32_t time_step(std::int64_t k, const MediaRun& run, double tokens_per_second,
                       TemporalIds kind) {
  if (!run.is_video) return 0;  // a still has one grid
  const bool is_even = run.pair_seconds.empty();
  const std::int64_t pair = run.first_pair + k;
  const float interval = static_cast<float>(run.seconds_per_grid);
  const float shown =
      is_even ? 0 : static_cast<float>(run.pair_seconds[static_cast<std::size_t>(k)]);
  double step = 0;
  if (kind == TemporalIds::whole_seconds) {
    // k · int(fl32(seconds)) · tps
    step = is_even ? static_cast<double>(pair) * std::trunc(interval) : std::trunc(shown);
    step *= tokens_per_second;
  } else {
    // trunc( fl32(fl32(k) · seconds) · tps )
    const float seconds = is_even ? static_cast<float>(pair) * interval : shown;
    step = seconds * static_cast<float>(tokens_per_second);
  }
  if (!(step >= 0 && step <= kLargestTimeStep)) {
    fail(ErrorKind::bad_request,
         "prompt: pair {} of a clip, {} seconds {}, has the time position {}, expected at most {}",
         pair + 1, is_even ? interval : shown, is_even ? "after the one before" : "after the first",
         step, kLargestTimeStep);
  }
  return static_cast<std::int32_t>(step);
}

// Each placeholder id becomes as many as its picture or clip has tokens.
void expand_placeholders(const std::vector<TokenId>& ids, const Conversation& conversation,
                         const Config& config, Prompt& prompt) {
  const auto& media = conversation.media;
  const auto is_more = [&](std::size_t i) { return i < media.size() && media[i]->first_pair > 0; };
  std::size_t next = 0;
  int n_places = 0;
  for (const TokenId id : ids) {
    if (id != config.image_token_id && id != config.video_token_id) {
      prompt.ids.push_back(id);
      continue;
    }
    if (next == media.size()) {
      fail(ErrorKind::bad_request, "prompt: more placeholders than the {} pictures and clips given",
           n_places);
    }
    ++n_places;
    if (media[next]->is_video != (id == config.video_token_id)) {
      fail(ErrorKind::bad_request, "prompt: placeholder {} is for a {}, found a {}", n_places,
           media[next]->is_video ? "picture" : "clip", media[next]->is_video ? "clip" : "picture");
    }
    do {  // a clip's sizes may change on the way
      const std::int64_t n = media[next]->n_tokens;
      prompt.slots.push_back(
          {static_cast<std::int64_t>(prompt.ids.size()), n, static_cast<int>(next)});
      prompt.ids.insert(prompt.ids.end(), static_cast<std::size_t>(n), id);
    } while (is_more(++next));
  }
  if (next != media.size()) {
    std::size_t n_given = 0;
    for (std::size_t i = 0; i < media.size(); ++i) n_given += !is_more(i);
    fail(ErrorKind::bad_request,
         "prompt: {} pictures and clips given, the messages have places for {}", n_given, n_places);
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
  std::int32_t base = 0;  // of the picture or clip
  for (const MediaRun& run : media) {
    text_until(run.first_token);
    if (run.first_pair == 0) base = out.next;
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
    runs.push_back({slot.first_token, input.grid, input.is_video, input.seconds_per_grid,
                    input.first_pair, input.pair_seconds});
  }
  Positions positions = mrope_positions(static_cast<std::int64_t>(prompt.ids.size()), runs,
                                        config.vision.tokens_per_second, temporal_ids);
  prompt.positions = std::move(positions.axes);
  prompt.next_position = positions.next;
  return prompt;
}

}  // namespace qwenvl::qwen2_5_vl
