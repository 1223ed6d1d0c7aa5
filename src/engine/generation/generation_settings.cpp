// generation_config.json and a request's wishes → one checked set of settings.
// Before: engine.cpp has the request.   After: sampler.cpp, decoding.cpp and beam_search.cpp obey.
// Mirrors the defaults and checks of the reference's GenerationConfig.
#include "engine/generation/generation_settings.h"

#include <algorithm>
#include <initializer_list>

#include "models/json_fields.h"

namespace qwenvl {
namespace {

constexpr int kMaxBeams = 64;
constexpr int kMaxTokens = 1 << 24;

// Fields of the reference that change what is generated, with the values that do not.
struct NeutralField {
  const char* key;
  std::initializer_list<const char*> neutral;  // as JSON; empty: only null
};

void refuse_unsupported(const JsonFields& fields) {
  const NeutralField known[] = {{"typical_p", {"1.0", "1"}},
                                {"epsilon_cutoff", {"0.0", "0"}},
                                {"eta_cutoff", {"0.0", "0"}},
                                {"num_beam_groups", {"1"}},
                                {"diversity_penalty", {"0.0", "0"}},
                                {"encoder_repetition_penalty", {"1.0", "1"}},
                                {"encoder_no_repeat_ngram_size", {"0"}},
                                {"min_length", {"0"}},
                                {"guidance_scale", {"1.0", "1"}},
                                {"penalty_alpha", {"0.0", "0"}},
                                {"top_h", {"1.0", "1"}},
                                {"renormalize_logits", {"false"}},
                                {"remove_invalid_values", {"false"}},
                                {"bad_words_ids", {}},
                                {"force_words_ids", {}},
                                {"sequence_bias", {}},
                                {"forced_bos_token_id", {}},
                                {"forced_eos_token_id", {}},
                                {"exponential_decay_length_penalty", {}},
                                {"suppress_tokens", {}},
                                {"begin_suppress_tokens", {}},
                                {"watermarking_config", {}},
                                {"constraints", {}},
                                {"stop_strings", {}},
                                {"prompt_lookup_num_tokens", {}},
                                {"dola_layers", {}},
                                {"max_time", {}}};
  for (const NeutralField& field : known) {
    const auto value = fields.json(field.key);
    if (!value ||
        std::find(field.neutral.begin(), field.neutral.end(), *value) != field.neutral.end())
      continue;
    fail(ErrorKind::unsupported,
         "{}: '{}' is set to {}, expected it absent: this setting is not computed", fields.where(),
         field.key, quoted(*value, 60));
  }
}

template <class T>
void in_range(const char* name, T value, double low, double high, const char* expected) {
  const double number = static_cast<double>(value);
  if (!(number >= low && number <= high)) {
    fail(ErrorKind::bad_request, "{}: found {}, expected {}", name, value, expected);
  }
}

void check(const GenerationSettings& s) {
  constexpr double kTiny = 1e-30, kHuge = 1e30;
  in_range("temperature", s.temperature, kTiny, kHuge, "a number above 0 (or 0 for greedy)");
  in_range("top_k", s.top_k, 0, kMaxTokens, "0 (off) or more");
  in_range("top_p", s.top_p, kTiny, 1, "a number above 0, at most 1");
  in_range("min_p", s.min_p, 0, 1, "a number from 0 to 1");
  in_range("repetition_penalty", s.repetition_penalty, kTiny, kHuge, "a number above 0 (1 = off)");
  in_range("no_repeat_ngram_size", s.no_repeat_ngram_size, 0, kMaxTokens, "0 (off) or more");
  in_range("min_new_tokens", s.min_new_tokens, 0, kMaxTokens, "0 or more");
  if (s.max_new_tokens)
    in_range("max_new_tokens", *s.max_new_tokens, 1, kMaxTokens, "1 to 16777216");
  in_range("num_beams", s.num_beams, 1, kMaxBeams, "1 to 64");
  in_range("length_penalty", s.length_penalty, -100, 100, "a number from -100 to 100");
  in_range("num_return_sequences", s.num_return_sequences, 1, kMaxBeams, "1 to 64");
  if (s.num_beams > 1 && s.num_return_sequences > s.num_beams) {
    fail(ErrorKind::bad_request, "num_return_sequences: found {}, expected at most the {} beams",
         s.num_return_sequences, s.num_beams);
  }
  if (s.num_beams == 1 && s.num_return_sequences > 1 && !s.do_sample) {
    fail(ErrorKind::bad_request,
         "num_return_sequences: found {} with greedy decoding, which has one answer; ask for "
         "sampling or beams",
         s.num_return_sequences);
  }
  if (s.num_beams > 1 && s.do_sample) {
    fail(ErrorKind::unsupported, "num_beams: found {} with do_sample, expected one of the two",
         s.num_beams);
  }
  if (s.max_new_tokens && s.min_new_tokens > *s.max_new_tokens) {
    fail(ErrorKind::bad_request, "min_new_tokens: found {}, expected at most max_new_tokens {}",
         s.min_new_tokens, *s.max_new_tokens);
  }
}

}  // namespace

GenerationSettings parse_generation_config(const std::string& json, const std::string& where) {
  GenerationSettings s;
  if (json.empty()) return s;
  const JsonFields fields = JsonFields::parse(json, where);
  refuse_unsupported(fields);
  const auto number = [&](const char* key, double low, double high, float& value) {
    value = static_cast<float>(fields.number(key, low, high).value_or(value));
  };
  const auto count = [&](const char* key, std::int64_t low, std::int64_t high, int& value) {
    value = static_cast<int>(fields.integer(key, low, high).value_or(value));
  };
  s.do_sample = fields.boolean("do_sample").value_or(s.do_sample);
  number("temperature", 0, 1e30, s.temperature);
  count("top_k", 0, kMaxTokens, s.top_k);
  number("top_p", 1e-6, 1, s.top_p);
  number("min_p", 0, 1, s.min_p);
  number("repetition_penalty", 1e-6, 1e6, s.repetition_penalty);
  count("no_repeat_ngram_size", 0, kMaxTokens, s.no_repeat_ngram_size);
  count("min_new_tokens", 0, kMaxTokens, s.min_new_tokens);
  if (const auto most = fields.integer("max_new_tokens", 1, kMaxTokens))
    s.max_new_tokens = static_cast<int>(*most);
  if (const auto most = fields.integer("max_length", 1, kMaxTokens))
    s.max_length = static_cast<int>(*most);
  count("num_beams", 1, kMaxBeams, s.num_beams);
  number("length_penalty", -100, 100, s.length_penalty);
  count("num_return_sequences", 1, kMaxBeams, s.num_return_sequences);
  if (fields.json("early_stopping") == "\"never\"") {
    s.early_stopping = EarlyStopping::never;
  } else {
    s.early_stopping =
        fields.boolean("early_stopping").value_or(false) ? EarlyStopping::yes : EarlyStopping::no;
  }
  const auto eos =
      fields.integers("eos_token_id", 0, kMaxTokens, true).value_or(std::vector<std::int64_t>{});
  s.eos_token_ids.assign(eos.begin(), eos.end());
  return s;
}

GenerationSettings merged(const GenerationSettings& defaults, const Sampling& wishes) {
  GenerationSettings s = defaults;
  const auto take = [](auto& value, const auto& wish) {
    if (wish) value = *wish;
  };
  take(s.temperature, wishes.temperature);
  take(s.top_k, wishes.top_k);
  take(s.top_p, wishes.top_p);
  take(s.min_p, wishes.min_p);
  take(s.repetition_penalty, wishes.repetition_penalty);
  take(s.no_repeat_ngram_size, wishes.no_repeat_ngram_size);
  take(s.min_new_tokens, wishes.min_new_tokens);
  if (wishes.max_new_tokens) s.max_new_tokens = wishes.max_new_tokens;
  take(s.num_beams, wishes.num_beams);
  take(s.length_penalty, wishes.length_penalty);
  take(s.early_stopping, wishes.early_stopping);
  take(s.num_return_sequences, wishes.num_return_sequences);
  take(s.eos_token_ids, wishes.eos_token_ids);
  if (wishes.do_sample) {
    s.do_sample = *wishes.do_sample;
  } else if (wishes.num_beams && *wishes.num_beams > 1) {
    s.do_sample = false;
  }
  if (s.temperature == 0) {
    if (wishes.do_sample.value_or(false)) {
      fail(ErrorKind::bad_request,
           "temperature: found 0 with do_sample, expected a number above 0");
    }
    s.do_sample = false;
    s.temperature = 1;
  }
  check(s);
  return s;
}

}  // namespace qwenvl
