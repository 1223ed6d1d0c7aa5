// The tiny checkpoint as an engine, and requests to it, for the tests of this folder.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "qwenvl/engine.h"
#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace qwenvl {

inline std::string data_path(const std::string& name) {
  return std::string(QWENVL_TEST_DATA) + "/golden/" + name;
}
inline std::string picture_path(const std::string& name) {
  return data_path("model/images/" + name);
}

inline EngineOptions tiny_options() {
  EngineOptions options;
  options.model = data_path("checkpoints/tiny");
  options.n_threads = 2;
  options.kv_cache_bytes = 64u << 20;
  return options;
}

// One engine for all tests that need nothing special.
inline Engine& tiny_engine() {
  static Engine engine = Engine::open(tiny_options());
  return engine;
}

inline Request ask(const std::string& text, int max_new_tokens = 12) {
  Request request;
  request.messages = {{"user", {Part::words(text)}}};
  request.sampling.max_new_tokens = max_new_tokens;
  request.sampling.do_sample = false;
  request.sampling.eos_token_ids = std::vector<std::int32_t>{};  // random weights end anywhere
  return request;
}

inline Request ask_about(const std::vector<std::string>& pictures, const std::string& text,
                         int max_new_tokens = 12) {
  Request request = ask(text, max_new_tokens);
  std::vector<Part> parts;
  for (const std::string& name : pictures) parts.push_back(Part::picture(picture_path(name)));
  parts.push_back(Part::words(text));
  request.messages[0].parts = std::move(parts);
  return request;
}

inline Request sampled(Request request, std::uint64_t seed, int n = 1) {
  request.sampling.do_sample = true;
  request.sampling.temperature = 1.5f;
  request.sampling.seed = seed;
  request.sampling.num_return_sequences = n;
  return request;
}

inline Request with_beams(Request request, int n, int n_returned = 1) {
  request.sampling.do_sample = {};
  request.sampling.num_beams = n;
  request.sampling.num_return_sequences = n_returned;
  return request;
}

inline std::vector<std::int32_t> ids_of(const Choice& choice) {
  std::vector<std::int32_t> ids;
  for (const TokenInfo& token : choice.tokens) ids.push_back(token.chosen.id);
  return ids;
}

// The ids of all choices.
inline std::vector<std::vector<std::int32_t>> ids_of(const Answer& answer) {
  std::vector<std::vector<std::int32_t>> ids;
  for (const Choice& choice : answer.choices) ids.push_back(ids_of(choice));
  return ids;
}

inline std::vector<Event> events_of(EventStream stream) {
  std::vector<Event> events;
  for (Event event; stream.next(event);) events.push_back(event);
  return events;
}

inline std::string error_of_request(Engine& engine, const Request& request) {
  return error_of([&] { collect(engine.submit(request)); });
}

// Passes when `text` has `part` in it; shows both otherwise.
inline testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << text << "' does not hold '" << part << "'";
}

inline std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace qwenvl
