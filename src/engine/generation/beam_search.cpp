// Beam search. Mirrors the reference's generation loop for one prompt: candidates are the best
// max(2, 1 + EOS ids) · B continuations of all beams; those that end and rank among the first B
// become finished hypotheses with score acc / new_tokens^length_penalty; the best B that do not end
// run on.
#include "engine/generation/beam_search.h"

#include <algorithm>
#include <cmath>

namespace qwenvl {
namespace {

constexpr float kOut = -1.0e9f;  // added by the reference to the scores of ended candidates

class BeamSearch final : public Decoding {
 public:
  BeamSearch(Sequence prompt, const DecodingOptions& options) : options_(options) {
    beams_.push_back({std::move(prompt), 0.0f, {}});
  }

  std::vector<Sequence*> running() override {
    std::vector<Sequence*> out;
    for (Beam& beam : beams_) out.push_back(&beam.sequence);
    return out;
  }

  void advance(std::span<const std::span<float>> logits, const Emit& emit) override {
    const std::vector<Candidate> candidates = best_candidates(logits);
    const bool all_end = std::all_of(candidates.begin(), candidates.end(),
                                     [](const Candidate& c) { return c.ends; });
    const std::int64_t n_new = beams_[0].sequence.n_new() + 1;
    std::vector<Beam> next = next_beams(candidates);
    collect_finished(candidates, n_new);
    beams_ = std::move(next);
    ++n_steps_;
    const bool is_full = finished_.size() == n_beams();
    if (all_end || !can_improve(n_new) ||
        (is_full && options_.settings.early_stopping == EarlyStopping::yes)) {
      report(emit);
    }
  }

  void cancel(const Emit& emit) override {
    if (beams_.empty()) return;  // finished already
    beams_.clear();
    for (int i = 0; i < options_.settings.num_return_sequences; ++i) {
      Event event;
      event.kind = Event::Kind::finished;
      event.choice = i;
      event.finish_reason = FinishReason::cancelled;
      emit(std::move(event));
    }
  }

  int n_generated() const override { return n_reported_ > 0 ? n_reported_ : n_steps_; }

 private:
  struct Beam {
    Sequence sequence;
    float score;       // sum of the log-probabilities of its new tokens
    std::string text;  // certain so far
  };
  struct Candidate {
    std::size_t beam;
    TokenId id;
    float score;
    bool ends;
    FinishReason reason;
  };
  struct Hypothesis {
    float score;
    std::vector<TokenId> new_ids;
    std::string text, matched_stop;
    FinishReason reason;
  };

  std::size_t n_beams() const { return static_cast<std::size_t>(options_.settings.num_beams); }

  std::vector<Candidate> best_candidates(std::span<const std::span<float>> logits) {
    const std::size_t n_keep =
        std::max<std::size_t>(2, 1 + options_.settings.eos_token_ids.size()) * n_beams();
    std::vector<Candidate> all;
    for (std::size_t b = 0; b < beams_.size(); ++b) {
      const std::span<float> scores = logits[b];
      log_softmax(scores);
      apply_processors(options_.settings, beams_[b].sequence.ids, beams_[b].sequence.n_new(),
                       scores);
      for (float& score : scores) score += beams_[b].score;
      for (const TokenId id : best_indices(scores, n_keep)) {
        all.push_back({b, id, scores[static_cast<std::size_t>(id)], false, FinishReason::none});
      }
    }
    // Equal scores keep the order beam, id: that of the flattened scores.
    std::stable_sort(all.begin(), all.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    all.resize(std::min(all.size(), n_keep));
    for (Candidate& candidate : all) judge(candidate);
    return all;
  }

  // Does the sequence end with this candidate's token?
  void judge(Candidate& candidate) {
    const Sequence& sequence = beams_[candidate.beam].sequence;
    const auto& eos = options_.settings.eos_token_ids;
    Detokenizer detokenizer = sequence.detokenizer;
    detokenizer.push(candidate.id);
    if (std::find(eos.begin(), eos.end(), candidate.id) != eos.end() || detokenizer.is_stopped()) {
      candidate.ends = true;
      candidate.reason = FinishReason::stop;
    } else if (sequence.n_new() + 1 >= options_.max_new_tokens) {
      candidate.ends = true;
      candidate.reason = FinishReason::length;
    }
  }

  std::vector<Beam> next_beams(std::vector<Candidate> candidates) {
    for (Candidate& candidate : candidates) {
      if (candidate.ends) candidate.score += kOut;
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    std::vector<Beam> next;
    for (const Candidate& candidate : candidates) {
      if (next.size() == n_beams()) break;
      const Beam& parent = beams_[candidate.beam];
      Beam beam{parent.sequence.fork(), candidate.score, parent.text};
      beam.sequence.ids.push_back(candidate.id);
      beam.text += beam.sequence.detokenizer.push(candidate.id);
      next.push_back(std::move(beam));
    }
    return next;
  }

  void collect_finished(const std::vector<Candidate>& candidates, std::int64_t n_new) {
    const float length = std::pow(static_cast<float>(n_new), options_.settings.length_penalty);
    for (std::size_t rank = 0; rank < std::min(candidates.size(), n_beams()); ++rank) {
      const Candidate& candidate = candidates[rank];
      if (!candidate.ends) continue;
      const Beam& parent = beams_[candidate.beam];
      Detokenizer detokenizer = parent.sequence.detokenizer;
      Hypothesis done{candidate.score / length, {}, {}, {}, candidate.reason};
      done.new_ids.assign(
          parent.sequence.ids.begin() + static_cast<std::ptrdiff_t>(parent.sequence.n_prompt),
          parent.sequence.ids.end());
      done.new_ids.push_back(candidate.id);
      done.text = parent.text + detokenizer.push(candidate.id);
      done.text += detokenizer.finish();
      done.matched_stop = detokenizer.matched_stop();
      if (detokenizer.is_stopped()) done.reason = FinishReason::stop;
      finished_.push_back(std::move(done));
    }
    std::stable_sort(finished_.begin(), finished_.end(),
                     [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
    if (finished_.size() > n_beams())
      finished_.erase(finished_.begin() + static_cast<std::ptrdiff_t>(n_beams()), finished_.end());
  }

  // Could the best running beam still beat the worst finished hypothesis?
  bool can_improve(std::int64_t n_new) const {
    if (finished_.size() < n_beams()) return true;
    const GenerationSettings& s = options_.settings;
    const bool looks_ahead = s.early_stopping == EarlyStopping::never && s.length_penalty > 0;
    const float length = static_cast<float>(looks_ahead ? options_.max_new_tokens : n_new);
    return beams_[0].score / std::pow(length, s.length_penalty) > finished_.back().score;
  }

  void report(const Emit& emit) {
    const std::size_t n = std::min(
        finished_.size(), static_cast<std::size_t>(options_.settings.num_return_sequences));
    for (std::size_t i = 0; i < n; ++i) {
      Hypothesis& done = finished_[i];
      Event text;
      text.kind = Event::Kind::text;
      text.choice = static_cast<int>(i);
      text.text = std::move(done.text);
      for (const TokenId id : done.new_ids) text.tokens.push_back({{id, {}, 0}, {}});
      n_reported_ += static_cast<int>(done.new_ids.size());
      emit(std::move(text));
      Event end;
      end.kind = Event::Kind::finished;
      end.choice = static_cast<int>(i);
      end.finish_reason = done.reason;
      end.matched_stop = std::move(done.matched_stop);
      end.score = done.score;
      emit(std::move(end));
    }
    beams_.clear();
  }

  const DecodingOptions options_;
  std::vector<Beam> beams_;
  std::vector<Hypothesis> finished_;  // best first, at most B
  int n_steps_ = 0;
  int n_reported_ = 0;
};

}  // namespace

std::unique_ptr<Decoding> make_beam_search(Sequence prompt, const DecodingOptions& options) {
  return std::make_unique<BeamSearch>(std::move(prompt), options);
}

}  // namespace qwenvl
