// The two GGUF files of a small whole model, in all the formats that are promised.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "core/mapped_file.h"
#include "engine/gguf_writer.h"

namespace qwenvl {

// The tiny tokenizer as GGUF keeps it.
inline void add_tokenizer(GgufWriter& gguf) {
  const auto json = nlohmann::json::parse(read_file(
      std::string(QWENVL_TEST_DATA) + "/golden/checkpoints/tiny/tokenizer.json", 1 << 24));
  std::map<std::int64_t, std::pair<std::string, std::int32_t>> tokens;  // text and kind
  for (const auto& [word, id] : json["model"]["vocab"].items()) tokens[id] = {word, 1};
  for (const auto& token : json["added_tokens"]) {
    tokens[token["id"]] = {token["content"], token["special"].get<bool>() ? 3 : 4};
  }
  std::vector<std::string> words, kinds, merges;
  for (std::int64_t id = 0; id <= tokens.rbegin()->first; ++id) {
    const bool is_used = tokens.contains(id);
    words.push_back(GgufWriter::text(is_used ? tokens[id].first : fmt::format("[PAD{}]", id)));
    kinds.push_back(GgufWriter::raw(is_used ? tokens[id].second : std::int32_t{5}));
  }
  for (const auto& merge : json["model"]["merges"]) {
    merges.push_back(GgufWriter::text(merge.is_string() ? merge.get<std::string>()
                                                        : merge[0].get<std::string>() + " " +
                                                              merge[1].get<std::string>()));
  }
  gguf.value("tokenizer.chat_template", "{{ messages }}");
  gguf.value("tokenizer.ggml.model", "gpt2");
  gguf.value("tokenizer.ggml.pre", "qwen2");
  gguf.list("tokenizer.ggml.tokens", 8, words);
  gguf.list("tokenizer.ggml.token_type", 5, kinds);
  gguf.list("tokenizer.ggml.merges", 8, merges);
  for (const auto& [id, token] : tokens) {
    if (token.first == "<|im_end|>") {
      gguf.value("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(id));
    }
  }
}

// One decoder layer of width 256 whose seven matrices have seven formats; the last matrices of the
// file, the vocabulary's, have `vocabulary`.
inline void write_language_gguf(const std::filesystem::path& path, const std::string& vocabulary) {
  GgufWriter gguf;
  gguf.value("general.architecture", "qwen2vl");
  for (const auto& [key, number] :
       std::map<std::string, std::uint32_t>{{"block_count", 1},
                                            {"context_length", 4096},
                                            {"embedding_length", 256},
                                            {"feed_forward_length", 256},
                                            {"attention.head_count", 4},
                                            {"attention.head_count_kv", 2}}) {
    gguf.value("qwen2vl." + key, number);
  }
  gguf.value("qwen2vl.rope.freq_base", 1e6F);
  gguf.value("qwen2vl.attention.layer_norm_rms_epsilon", 1e-6F);
  const auto number = [](std::int32_t n) { return GgufWriter::raw(n); };
  gguf.list("qwen2vl.rope.dimension_sections", 5, {number(8), number(12), number(12), number(0)});
  add_tokenizer(gguf);
  gguf.tensor("token_embd.weight", vocabulary, {1088, 256});
  gguf.tensor("output_norm.weight", "F32", {256});
  const std::string block = "blk.0.";
  for (const char* norm : {"attn_norm", "ffn_norm"}) {
    gguf.tensor(block + norm + ".weight", "F32", {256});
  }
  for (const auto& [name, kind, rows] :
       std::vector<std::tuple<const char*, const char*, std::int64_t>>{{"attn_q", "F16", 256},
                                                                       {"attn_k", "BF16", 128},
                                                                       {"attn_v", "Q8_0", 128},
                                                                       {"attn_output", "Q4_0", 256},
                                                                       {"ffn_gate", "Q4_K", 256},
                                                                       {"ffn_up", "Q5_K", 256},
                                                                       {"ffn_down", "Q6_K", 256}}) {
    gguf.tensor(block + name + ".weight", kind, {rows, 256});
  }
  gguf.tensor(block + "attn_q.bias", "F32", {256});
  gguf.tensor(block + "attn_k.bias", "F32", {128});
  gguf.tensor(block + "attn_v.bias", "F32", {128});
  gguf.write(path);
}

// Two blocks of width 64, their matrices of one format.
inline void write_vision_gguf(const std::filesystem::path& path, const std::string& kind) {
  GgufWriter gguf;
  gguf.value("general.architecture", "clip");
  gguf.value("clip.projector_type", "qwen2.5vl_merger");
  for (const auto& [key, number] : std::map<std::string, std::uint32_t>{{"block_count", 2},
                                                                        {"embedding_length", 64},
                                                                        {"feed_forward_length", 64},
                                                                        {"attention.head_count", 4},
                                                                        {"patch_size", 14},
                                                                        {"n_wa_pattern", 2}}) {
    gguf.value("clip.vision." + key, number);
  }
  const auto number = [](float n) { return GgufWriter::raw(n); };
  gguf.list("clip.vision.image_mean", 6, {number(0.5F), number(0.5F), number(0.5F)});
  gguf.list("clip.vision.image_std", 6, {number(0.25F), number(0.25F), number(0.25F)});
  for (const char* frame : {"", ".1"}) {
    gguf.tensor(std::string("v.patch_embd.weight") + frame, "F16", {64, 3, 14, 14});
  }
  for (int i = 0; i < 2; ++i) {
    const std::string block = fmt::format("v.blk.{}.", i);
    for (const char* norm : {"ln1", "ln2"}) gguf.tensor(block + norm + ".weight", "F32", {64});
    for (const char* name :
         {"attn_q", "attn_k", "attn_v", "attn_out", "ffn_gate", "ffn_up", "ffn_down"}) {
      gguf.tensor(block + name + ".weight", kind, {64, 64});
      gguf.tensor(block + name + ".bias", "F32", {64});
    }
  }
  gguf.tensor("v.post_ln.weight", "F32", {64});
  for (const char* name : {"mm.0", "mm.2"}) {
    gguf.tensor(std::string(name) + ".weight", kind, {256, 256});
    gguf.tensor(std::string(name) + ".bias", "F32", {256});
  }
  gguf.write(path);
}

}  // namespace qwenvl
