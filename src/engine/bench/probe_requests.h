// Requests for benchmarks and comparisons: greedy, never ending before the last token, with the
// scores of the first.
#pragma once

#include <string>

#include "qwenvl/engine.h"

namespace qwenvl {

// Words of about n_tokens tokens.
std::string words_of(const Engine& engine, int n_tokens);
// Text whose whole prompt has n_prompt_tokens, or as near as the tokenizer and template allow.
Request text_request(const Engine& engine, int n_prompt_tokens, int n_new_tokens);
Request words_request(const std::string& words, int n_new_tokens);
Request picture_request(const Picture& picture, const std::string& words, int n_new_tokens);

// The last event of a request.
using Finished = Event;
Finished finish(EventStream stream);
Finished finish(Engine& engine, const Request& request);

}  // namespace qwenvl
