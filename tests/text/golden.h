// What the tests of this folder share: the golden files and the published tokenizer, read once.
#pragma once

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "support/error_of.h"
#include "text/tokenizer/tokenizer.h"

namespace qwenvl::testing {

inline std::string golden_text(const std::string& name) {
  std::ifstream file(std::string(QWENVL_TEST_DATA "/golden/") + name, std::ios::binary);
  if (!file) throw std::runtime_error("missing tests/golden/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline nlohmann::json golden_json(const std::string& name) {
  return nlohmann::json::parse(golden_text(name));
}

inline const nlohmann::json& golden_tokens() {
  static const nlohmann::json tokens = golden_json("text/tokens.json");
  return tokens;
}

inline const Tokenizer& published_tokenizer() {
  static const Tokenizer tokenizer = Tokenizer::from_folder(QWENVL_TEST_DATA "/golden/tokenizer");
  return tokenizer;
}

}  // namespace qwenvl::testing
