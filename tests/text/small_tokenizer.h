// A valid tokenizer of the Qwen2 kind with a handful of merges, for tests that damage or stress it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "text/tokenizer/pretokenizer.h"
#include "text/tokenizer/tokenizer_tables.h"

namespace qwenvl::testing {

inline nlohmann::json small_tokenizer_json() {
  using nlohmann::json;
  json vocabulary = json::object();
  for (unsigned byte = 0; byte < 256; ++byte) {
    vocabulary[text_of_byte(static_cast<unsigned char>(byte))] = byte;
  }
  json merges = json::array();
  int next = 256;
  for (const char* pair : {"a b", "ab a", "c d", "Ġ a", "b c", "ab cd", "a a", "aa aa"}) {
    std::string merged = pair;
    merged.erase(merged.find(' '), 1);
    vocabulary[merged] = next++;
    merges.push_back(pair);
  }
  const json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", false},
                           {"use_regex", false}};
  const json split = {{"type", "Split"},
                      {"pattern", {{"Regex", kPieceRegex}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  json added = json::array();
  const auto add = [&](const char* text, bool special) {
    added.push_back({{"id", next++},
                     {"content", text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", special}});
  };
  add("<|end|>", true);
  add("<tool>", false);
  add("<tool>s", false);
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}},
          {"post_processor", byte_level},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"vocab", vocabulary},
            {"merges", merges}}}};
}

}  // namespace qwenvl::testing
