// Requests for benchmarks and comparisons.
// Before: bench_stages.cpp, compare_models.cpp.   After: the public Engine.
#include "engine/bench/probe_requests.h"

#include <algorithm>

#include "core/check.h"

namespace qwenvl {
namespace {

constexpr int kAttempts = 8;

std::string repeated(int n_words) {
  std::string words = "the";
  for (int i = 1; i < n_words; ++i) words += " the";
  return words;
}

Request request_of(std::vector<Part> parts, int n_new_tokens) {
  Request request;
  request.messages = {{"user", std::move(parts)}};
  request.sampling.do_sample = false;
  request.sampling.num_beams = 1;
  request.sampling.num_return_sequences = 1;
  request.sampling.repetition_penalty = 1;
  request.sampling.max_new_tokens = n_new_tokens;
  request.sampling.eos_token_ids = std::vector<std::int32_t>{};  // nothing ends an answer early
  request.want_first_logits = true;
  return request;
}

}  // namespace

std::string words_of(const Engine& engine, int n_tokens) {
  const int n_of_two = static_cast<int>(engine.tokenize(repeated(11), false).size() -
                                        engine.tokenize(repeated(1), false).size());
  return repeated(std::max(1, n_tokens * 10 / std::max(n_of_two, 1)));
}

Request words_request(const std::string& words, int n_new_tokens) {
  return request_of({Part::words(words)}, n_new_tokens);
}

Request text_request(const Engine& engine, int n_prompt_tokens, int n_new_tokens) {
  int n_words = std::max(1, n_prompt_tokens / 2);
  Request request;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    request = words_request(repeated(n_words), n_new_tokens);
    const int missing = n_prompt_tokens - static_cast<int>(engine.prompt_ids(request).size());
    const int step = static_cast<int>(engine.tokenize(repeated(n_words + 1), false).size() -
                                      engine.tokenize(repeated(n_words), false).size());
    const int more = missing / std::max(step, 1);
    if (more == 0 || n_words + more < 1) break;
    n_words += more;
  }
  return request;
}

Request picture_request(const Picture& picture, const std::string& words, int n_new_tokens) {
  Part part;
  part.kind = Part::Kind::picture;
  part.image = picture;
  return request_of({std::move(part), Part::words(words)}, n_new_tokens);
}

Finished finish(EventStream stream) {
  Finished last;
  for (Event event; stream.next(event);) last = std::move(event);
  QWENVL_CHECK(last.kind == Event::Kind::finished, "a stream without an end");
  return last;
}

Finished finish(Engine& engine, const Request& request) { return finish(engine.submit(request)); }

}  // namespace qwenvl
