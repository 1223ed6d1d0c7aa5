#include "models/qwen2_5_vl/prompt.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace qwenvl::qwen2_5_vl {
namespace {

std::int32_t time_step(std::int64_t k, const MediaRun& run, double tokens_per_second, TemporalIds kind) {
  if (!run.is_video) return 0;  // a still has one grid
  if (kind == TemporalIds::whole_seconds) {
    // k · int(seconds) · tps
    return static_cast<std::int32_t>(static_cast<double>(k) * std::trunc(run.seconds_per_grid) * tokens_per_second);
  }
  // trunc( fl32(fl32(k) · seconds) · tps )
  const float seconds = static_cast<float>(k) * static_cast<float>(run.seconds_per_grid);
  return static_cast<std::int32_t>(seconds * static_cast<float>(tokens_per_second));
}

// Collects ids; ordinary text is gathered until a special token or the end, because the tokenizer
// has to see neighbouring pieces as one string ("\n" of the template and "\n" of the user merge).
class IdBuilder {
 public:
  explicit IdBuilder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void add_text(std::string_view text) { pending_ += text; }

  void add_token(TokenId id, std::int64_t count = 1) {
    flush();
    ids.insert(ids.end(), static_cast<std::size_t>(count), id);
  }

  void flush() {
    if (pending_.empty()) return;
    const auto more = tokenizer_.encode(pending_, SpecialTokens::as_text);
    ids.insert(ids.end(), more.begin(), more.end());
    pending_.clear();
  }

  std::vector<TokenId> ids;

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
};

// The next added token in `text` from `from` on: the leftmost, the longest of those.
struct FoundToken {
  std::size_t at = std::string_view::npos;
  const AddedToken* token = nullptr;
};

FoundToken next_added_token(std::string_view text, std::size_t from, const Tokenizer& tokenizer) {
  FoundToken found;
  for (std::size_t at = from; at < text.size(); ++at) {
    for (const AddedToken& token : tokenizer.added_tokens()) {
      if (text.substr(at).starts_with(token.text) &&
          (!found.token || token.text.size() > found.token->text.size())) {
        found = {at, &token};
      }
    }
    if (found.token) return found;
  }
  return found;
}

// Places media into the id stream as their placeholders come by.
class SlotFiller {
 public:
  SlotFiller(const Conversation& conversation, const Config& config) : conversation_(conversation), config_(config) {}

  bool is_placeholder(TokenId id) const { return id == config_.image_token_id || id == config_.video_token_id; }

  void place(TokenId id, IdBuilder& builder, Prompt& prompt) {
    if (next_ == conversation_.media.size()) {
      fail(ErrorKind::bad_request, "prompt: more placeholders for pictures than the {} pictures given",
           conversation_.media.size());
    }
    const VisionInput& input = *conversation_.media[next_];
    if (input.is_video != (id == config_.video_token_id)) {
      fail(ErrorKind::bad_request, "prompt: placeholder {} is for a {}, found a {}", next_ + 1,
           input.is_video ? "picture" : "video", input.is_video ? "video" : "picture");
    }
    builder.flush();
    prompt.slots.push_back({static_cast<std::int64_t>(builder.ids.size()), input.n_tokens, static_cast<int>(next_)});
    builder.add_token(id, input.n_tokens);
    ++next_;
  }

  void finish() const {
    if (next_ != conversation_.media.size()) {
      fail(ErrorKind::bad_request, "prompt: {} pictures given, expected {} as in the messages",
           conversation_.media.size(), next_);
    }
  }

 private:
  const Conversation& conversation_;
  const Config& config_;
  std::size_t next_ = 0;
};

void add_trusted(std::string_view text, const Tokenizer& tokenizer, SlotFiller& slots, IdBuilder& builder,
                 Prompt& prompt) {
  std::size_t from = 0;
  while (true) {
    const FoundToken found = next_added_token(text, from, tokenizer);
    builder.add_text(text.substr(from, found.at - from));
    if (!found.token) return;
    if (slots.is_placeholder(found.token->id)) {
      slots.place(found.token->id, builder, prompt);
    } else {
      builder.add_token(found.token->id);
    }
    from = found.at + found.token->text.size();
  }
}

}  // namespace

Positions mrope_positions(std::int64_t n_tokens, std::span<const MediaRun> media, double tokens_per_second,
                          TemporalIds temporal_ids) {
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
  IdBuilder builder(tokenizer);
  SlotFiller slots(conversation, config);
  for (const TemplatePiece& piece : render_chat(conversation.messages, conversation.options)) {
    if (piece.is_trusted || conversation.parse_special_tokens) {
      add_trusted(piece.text, tokenizer, slots, builder, prompt);
    } else {
      builder.add_text(piece.text);
    }
  }
  builder.flush();
  slots.finish();
  prompt.ids = std::move(builder.ids);
  for (TokenId id : prompt.ids) {
    if (id >= config.text.vocab_size) {
      fail(ErrorKind::bad_file, "tokenizer: token {} is outside the model's vocabulary of {}: they do not belong together",
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
