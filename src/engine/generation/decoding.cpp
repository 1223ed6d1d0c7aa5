// Greedy decoding and sampling.
// Before: scheduler_step.cpp delivers logits.   After: events on the stream; beam_search.cpp is the
// other way to decode.
// Mirrors _sample of the reference's generation loop.
#include "engine/generation/decoding.h"

#include <algorithm>
#include <cmath>

#include "engine/generation/beam_search.h"

namespace qwenvl {
namespace {

TokenLogprob logprob_of(TokenId id, std::span<const float> logprobs, const Tokenizer& tokenizer) {
  return {id, tokenizer.decode(std::span(&id, 1), false), logprobs[static_cast<std::size_t>(id)]};
}

// Greedy decoding and sampling: every choice goes its own way after the shared prompt.
class SamplingDecoding final : public Decoding {
 public:
  SamplingDecoding(Sequence prompt, const DecodingOptions& options, const Tokenizer& tokenizer)
      : options_(options), tokenizer_(tokenizer) {
    choices_.push_back({std::move(prompt), RandomStream(options.seed, 0), false});
  }

  std::vector<Sequence*> running() override {
    std::vector<Sequence*> out;
    for (Choice& choice : choices_) {
      if (!choice.is_finished) out.push_back(&choice.sequence);
    }
    return out;
  }

  void advance(std::span<const std::span<float>> logits, const Emit& emit) override {
    if (is_first_) return start(logits[0], emit);
    std::size_t row = 0;
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      if (!choices_[i].is_finished) step(static_cast<int>(i), logits[row++], emit);
    }
  }

  void cancel(const Emit& emit) override {
    if (is_first_) fork_choices();
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      if (!choices_[i].is_finished) finish(static_cast<int>(i), FinishReason::cancelled, {}, emit);
    }
  }

  int n_generated() const override { return n_generated_; }

 private:
  struct Choice {
    Sequence sequence;
    RandomStream random;
    bool is_finished;
  };

  void fork_choices() {
    is_first_ = false;
    for (int i = 1; i < options_.settings.num_return_sequences; ++i) {
      choices_.push_back({choices_[0].sequence.fork(),
                          RandomStream(options_.seed, static_cast<std::uint64_t>(i)), false});
    }
  }

  void start(std::span<float> logits, const Emit& emit) {
    fork_choices();
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      std::vector<float> own(logits.begin(), logits.end());
      step(static_cast<int>(i), own, emit);
    }
  }

  void step(int index, std::span<float> scores, const Emit& emit) {
    Choice& choice = choices_[static_cast<std::size_t>(index)];
    Sequence& sequence = choice.sequence;
    apply_processors(options_.settings, sequence.ids, sequence.n_new(), scores);
    std::vector<float> logprobs;
    if (options_.n_logprobs >= 0) {
      logprobs.assign(scores.begin(), scores.end());
      log_softmax(logprobs);
    }
    TokenId id;
    if (options_.settings.do_sample) {
      apply_filters(options_.settings, scores);
      id = draw(scores, choice.random);
    } else {
      id = argmax(scores);
    }
    sequence.ids.push_back(id);
    ++n_generated_;

    Event event;
    event.kind = Event::Kind::text;
    event.choice = index;
    event.text = sequence.detokenizer.push(id);
    event.tokens.push_back(describe(id, logprobs));
    const auto& eos = options_.settings.eos_token_ids;
    const bool is_end =
        std::find(eos.begin(), eos.end(), id) != eos.end() || sequence.detokenizer.is_stopped();
    const bool is_full = sequence.n_new() >= options_.max_new_tokens;
    if (is_end || is_full)
      return finish(index, is_end ? FinishReason::stop : FinishReason::length, std::move(event),
                    emit);
    emit(std::move(event));
  }

  TokenInfo describe(TokenId id, const std::vector<float>& logprobs) const {
    TokenInfo info;
    if (logprobs.empty()) {
      info.chosen.id = id;
      return info;
    }
    info.chosen = logprob_of(id, logprobs, tokenizer_);
    for (const TokenId best :
         best_indices(logprobs, static_cast<std::size_t>(options_.n_logprobs))) {
      info.top.push_back(logprob_of(best, logprobs, tokenizer_));
    }
    return info;
  }

  // `last` carries the final token, if there is one; held-back text joins it.
  void finish(int index, FinishReason reason, Event last, const Emit& emit) {
    Choice& choice = choices_[static_cast<std::size_t>(index)];
    last.kind = Event::Kind::text;
    last.choice = index;
    last.text += choice.sequence.detokenizer.finish();
    if (choice.sequence.detokenizer.is_stopped()) reason = FinishReason::stop;
    if (!last.text.empty() || !last.tokens.empty()) emit(std::move(last));
    Event event;
    event.kind = Event::Kind::finished;
    event.choice = index;
    event.finish_reason = reason;
    event.matched_stop = choice.sequence.detokenizer.matched_stop();
    choice.is_finished = true;
    choice.sequence.cache.clear();
    emit(std::move(event));
  }

  const DecodingOptions options_;
  const Tokenizer& tokenizer_;
  std::vector<Choice> choices_;
  bool is_first_ = true;
  int n_generated_ = 0;
};

}  // namespace

std::unique_ptr<Decoding> make_decoding(Sequence prompt, const DecodingOptions& options,
                                        const Tokenizer& tokenizer) {
  if (options.settings.num_beams > 1) return make_beam_search(std::move(prompt), options);
  return std::make_unique<SamplingDecoding>(std::move(prompt), options, tokenizer);
}

}  // namespace qwenvl
