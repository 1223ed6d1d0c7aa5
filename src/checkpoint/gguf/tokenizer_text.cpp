// tokenizer.json from the token list, the merges and the token types of a GGUF file.
// Before: gguf.cpp walked the lists.   After: text/tokenizer/tokenizer_file.cpp reads the text.
// Mirrors the published tokenizer.json: normal tokens are the vocabulary, the others are added
// tokens, and what llama.cpp's converter put in to fill the embedding's rows is left out again.
#include <nlohmann/json.hpp>

#include "checkpoint/gguf/texts.h"
#include "core/check.h"

namespace qwenvl {
namespace {

using Json = nlohmann::ordered_json;

enum TokenKind : std::int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kKinds = "tokenizer.ggml.token_type";
constexpr const char* kMerges = "tokenizer.ggml.merges";

// What comes before and after the vocabulary, which is written as it is read: as a tree it would
// take many times its size. The regular expression is the one of the Qwen2 family.
constexpr const char* kPreTokenizer =
    R"json({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": ")json"
    R"json((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|)json"
    R"json( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)json"
    R"json("}, "behavior": "Isolated", "invert": false}, {"type": "ByteLevel", )json"
    R"json("add_prefix_space": false, "trim_offsets": false, "use_regex": false}]})json";
constexpr const char* kByteLevel =
    R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, )"
    R"("use_regex": false})";

// The converter calls every token that looks like <|…|> special; the published tokenizer does not
// call these so, and keeps them when special tokens are dropped from answers.
bool looks_special_but_is_not(std::string_view token) {
  for (std::string_view name : {"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
                                "<|repo_name|>", "<|file_sep|>"}) {
    if (token == name) return true;
  }
  return false;
}

// A JSON text; the file may hold any bytes.
std::string json_text(std::string_view text, const std::string& where) {
  try {
    return Json(text).dump();
  } catch (const Json::type_error&) {
    fail(ErrorKind::bad_file, "{}: the tokenizer's text {} is not valid UTF-8", where,
         quoted(text, 40));
  }
}

void require_family(const GgufMetadata& data) {
  const std::string model = *data.text("tokenizer.ggml.model");
  const std::string split = data.text("tokenizer.ggml.pre").value_or("");
  if (model != "gpt2" || split != "qwen2") {
    fail(ErrorKind::unsupported,
         "{}: tokenizer {} split as {}, expected 'gpt2' split as 'qwen2'; only tokenizers of the "
         "Qwen2 family are read",
         data.where(), quoted(model, 40), quoted(split, 40));
  }
}

// "vocab": {…} and "added_tokens": […] in one pass over the tokens.
struct Tokens {
  std::string vocabulary, added;
};

Tokens read_tokens(const GgufMetadata& data) {
  const auto kinds = data.required(kKinds, data.integers(kKinds, 1, 6));
  const std::size_t n_tokens = data.length_of_list(kTokens);
  if (kinds.size() != n_tokens || n_tokens == 0) {
    fail(ErrorKind::bad_file, "{}: {} tokens and {} token types, expected as many", data.where(),
         n_tokens, kinds.size());
  }
  Tokens out;
  const auto separate = [](std::string& list) {
    if (!list.empty()) list += ",\n";
  };
  data.each_text(kTokens, [&](std::size_t id, std::string_view token) {
    switch (kinds[id]) {
      case kNormal:
        separate(out.vocabulary);
        out.vocabulary += json_text(token, data.where()) + ": " + std::to_string(id);
        break;
      case kControl:
      case kUserDefined: {
        const bool is_special = kinds[id] == kControl && !looks_special_but_is_not(token);
        separate(out.added);
        out.added += fmt::format(
            "{{\"id\": {}, \"content\": {}, \"single_word\": false, \"lstrip\": false, "
            "\"rstrip\": false, \"normalized\": false, \"special\": {}}}",
            id, json_text(token, data.where()), is_special);
        break;
      }
      case kUnused: break;
      default:
        fail(ErrorKind::unsupported, "{}: token {} ({}) has the type {}, expected 1, 3, 4 or 5",
             data.where(), id, quoted(token, 40), kinds[id]);
    }
  });
  return out;
}

}  // namespace

std::string tokenizer_json_from_gguf(const GgufMetadata& data) {
  const std::string model = data.text("tokenizer.ggml.model").value_or("no_vocab");
  if (model == "no_vocab") return "";
  require_family(data);
  const Tokens tokens = read_tokens(data);
  std::string merges;
  const bool has_merges = data.each_text(kMerges, [&](std::size_t i, std::string_view merge) {
    if (i > 0) merges += ",\n";
    merges += json_text(merge, data.where());
  });
  if (!has_merges) fail(ErrorKind::bad_file, "{}: the metadata lacks '{}'", data.where(), kMerges);
  std::string out = "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n";
  out += "\"added_tokens\": [" + tokens.added + "],\n\"normalizer\": {\"type\": \"NFC\"},\n";
  out += "\"pre_tokenizer\": " + std::string(kPreTokenizer) + ",\n";
  out += "\"post_processor\": " + std::string(kByteLevel) + ",\n";
  out += "\"decoder\": " + std::string(kByteLevel) + ",\n";
  out += "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, ";
  out += "\"continuing_subword_prefix\": \"\", \"end_of_word_suffix\": \"\", \"fuse_unk\": false, ";
  out += "\"byte_fallback\": false, \"vocab\": {" + tokens.vocabulary + "},\n\"merges\": [";
  out += merges + "]}}\n";
  return out;
}

}  // namespace qwenvl
