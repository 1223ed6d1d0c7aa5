// How the tokens of one request are chosen: sampling (greedy included) or beam search.
// Before: sampler.cpp scores tokens.   After: scheduler.cpp runs the sequences that go on.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/generation/generation_settings.h"
#include "engine/generation/sampler.h"
#include "engine/scheduling/kv_cache.h"
#include "qwenvl/engine.h"
#include "text/tokenizer/detokenizer.h"

namespace qwenvl {

// One hypothesis: its ids, and the cache of all of them but the last.
struct Sequence {
  std::vector<TokenId> ids;  // prompt and generated
  std::int64_t n_prompt = 0;
  std::int32_t next_position = 0;  // of the first generated token
  KvCache cache;
  Detokenizer detokenizer;

  std::int64_t n_new() const { return static_cast<std::int64_t>(ids.size()) - n_prompt; }
  Sequence fork() const { return {ids, n_prompt, next_position, cache.fork(), detokenizer}; }
};

struct DecodingOptions {
  GenerationSettings settings;
  std::int64_t max_new_tokens = 0;
  int n_logprobs = -1;
  std::uint64_t seed = 0;
};

class Decoding {
 public:
  using Emit = std::function<void(Event)>;  // text and finished events, without usage and timings

  virtual ~Decoding() = default;
  // Sequences whose last id has to be run next; empty when the request is finished.
  virtual std::vector<Sequence*> running() = 0;
  // logits[i] belongs to running()[i]; they may be overwritten. The first call gets the prompt's.
  virtual void advance(std::span<const std::span<float>> logits, const Emit& emit) = 0;
  // Ends all that still runs with FinishReason::cancelled.
  virtual void cancel(const Emit& emit) = 0;
  // Tokens chosen so far over all choices.
  virtual int n_generated() const = 0;
};

// `prompt` holds the prompt's ids; its cache will hold all of them when advance is first called.
std::unique_ptr<Decoding> make_decoding(Sequence prompt, const DecodingOptions& options,
                                        const Tokenizer& tokenizer);

}  // namespace qwenvl
