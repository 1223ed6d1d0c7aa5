// Damaged and foreign tokenizer files: each is refused with one clear error.
#include <gtest/gtest.h>

#include <functional>

#include "golden.h"
#include "small_tokenizer.h"
#include "text/tokenizer/tokenizer.h"

namespace qwenvl {
namespace {

using nlohmann::json;
using testing::small_tokenizer_json;

std::string error_of_json(const std::string& text) {
  return error_of([&] { Tokenizer::from_tokenizer_json(text, "file"); });
}

struct Damage {
  const char* name;
  const char* kind;
  const char* mentions;
  std::function<void(json&)> apply;
};

// clang-format off
const std::vector<Damage>& damages() {
  static const std::vector<Damage> table = {
      {"no model", "bad_file", "model", [](json& t) { t.erase("model"); }},
      {"model is a list", "bad_file", "model", [](json& t) { t["model"] = json::array(); }},
      {"no model type", "unsupported", "model.type", [](json& t) { t["model"].erase("type"); }},
      {"unigram model", "unsupported", "Unigram", [](json& t) { t["model"]["type"] = "Unigram"; }},
      {"numeric model type", "unsupported", "7", [](json& t) { t["model"]["type"] = 7; }},
      {"no vocabulary", "bad_file", "vocab", [](json& t) { t["model"].erase("vocab"); }},
      {"vocabulary is a list", "bad_file", "vocab", [](json& t) { t["model"]["vocab"] = {"a"}; }},
      {"vocabulary is empty", "bad_file", "empty", [](json& t) { t["model"]["vocab"] = json::object(); t["model"]["merges"] = json::array(); }},
      {"id is text", "bad_file", "'a'", [](json& t) { t["model"]["vocab"]["a"] = "64"; }},
      {"id is negative", "bad_file", "'a'", [](json& t) { t["model"]["vocab"]["a"] = -1; }},
      {"id is a fraction", "bad_file", "'a'", [](json& t) { t["model"]["vocab"]["a"] = 6.5; }},
      {"id is huge", "bad_file", "18446744073709551615", [](json& t) { t["model"]["vocab"]["a"] = 18446744073709551615u; }},
      {"id out of range", "bad_file", "without gaps", [](json& t) { t["model"]["vocab"]["a"] = 2000000000; }},
      {"id twice", "bad_file", "both have id", [](json& t) { t["model"]["vocab"]["a"] = t["model"]["vocab"]["b"]; }},
      {"id is an object", "bad_file", "'a'", [](json& t) { t["model"]["vocab"]["a"] = json::object(); }},
      {"a byte is missing", "bad_file", "0x61", [](json& t) { auto id = t["model"]["vocab"]["a"]; t["model"]["vocab"].erase("a"); t["model"]["vocab"]["other"] = id; t["model"]["merges"] = json::array(); }},
      {"no merges", "bad_file", "merges", [](json& t) { t["model"].erase("merges"); }},
      {"merges are an object", "bad_file", "merges", [](json& t) { t["model"]["merges"] = json::object(); }},
      {"merge of an unknown token", "bad_file", "not in the vocabulary", [](json& t) { t["model"]["merges"].push_back("x yy"); }},
      {"merge into an unknown token", "bad_file", "not in the vocabulary", [](json& t) { t["model"]["merges"].push_back("x y"); }},
      {"merge without a space", "bad_file", "merge 8", [](json& t) { t["model"]["merges"].push_back("ab"); }},
      {"merge of three", "bad_file", "merge 8", [](json& t) { t["model"]["merges"].push_back("a b c"); }},
      {"merge with an empty side", "bad_file", "merge 8", [](json& t) { t["model"]["merges"].push_back("a "); }},
      {"merge pair of one", "bad_file", "merge 8", [](json& t) { t["model"]["merges"].push_back(json::array({"a"})); }},
      {"merge pair of three", "bad_file", "merge 8", [](json& t) { t["model"]["merges"].push_back({"a", "b", "c"}); }},
      {"merge pair of numbers", "bad_file", "merge 8", [](json& t) { t["model"]["merges"].push_back({1, 2}); }},
      {"merge is a number", "bad_file", "merge 8", [](json& t) { t["model"]["merges"].push_back(5); }},
      {"merge is an object", "bad_file", "merge 8", [](json& t) { t["model"]["merges"].push_back({{"a", "b"}}); }},
      {"merge nested", "bad_file", "merge 8", [](json& t) { t["model"]["merges"].push_back({{"a"}, {"b"}}); }},
      {"merge twice", "bad_file", "twice", [](json& t) { t["model"]["merges"].push_back("a b"); }},
      {"dropout", "unsupported", "dropout", [](json& t) { t["model"]["dropout"] = 0.1; }},
      {"byte fallback", "unsupported", "byte_fallback", [](json& t) { t["model"]["byte_fallback"] = true; }},
      {"ignored merges", "unsupported", "ignore_merges", [](json& t) { t["model"]["ignore_merges"] = true; }},
      {"subword prefix", "unsupported", "##", [](json& t) { t["model"]["continuing_subword_prefix"] = "##"; }},
      {"unknown token", "unsupported", "unk_token", [](json& t) { t["model"]["unk_token"] = "<unk>"; }},
      {"unknown normalizer", "unsupported", "NFKC", [](json& t) { t["normalizer"] = {{"type", "NFKC"}}; }},
      {"normalizer is a number", "unsupported", "3", [](json& t) { t["normalizer"] = 3; }},
      {"two normalizers", "unsupported", "Lowercase", [](json& t) { t["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "Lowercase"}}}}}; }},
      {"other regular expression", "unsupported", "pre-tokenizer", [](json& t) { t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+"; }},
      {"other split behaviour", "unsupported", "pre-tokenizer", [](json& t) { t["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }},
      {"prefix space", "unsupported", "pre-tokenizer", [](json& t) { t["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; }},
      {"no pre-tokenizer", "unsupported", "pre-tokenizer", [](json& t) { t.erase("pre_tokenizer"); }},
      {"pre-tokenizers are text", "unsupported", "pre-tokenizer", [](json& t) { t["pre_tokenizer"]["pretokenizers"] = "x"; }},
      {"other decoder", "unsupported", "WordPiece", [](json& t) { t["decoder"] = {{"type", "WordPiece"}}; }},
      {"post-processor adds tokens", "unsupported", "TemplateProcessing", [](json& t) { t["post_processor"] = {{"type", "TemplateProcessing"}}; }},
      {"added tokens are an object", "bad_file", "added_tokens", [](json& t) { t["added_tokens"] = json::object(); }},
      {"added token is text", "bad_file", "added token", [](json& t) { t["added_tokens"][0] = "<|end|>"; }},
      {"added token without content", "bad_file", "content", [](json& t) { t["added_tokens"][0].erase("content"); }},
      {"added token without id", "bad_file", "<|end|>", [](json& t) { t["added_tokens"][0].erase("id"); }},
      {"added token is empty", "bad_file", "0 bytes", [](json& t) { t["added_tokens"][0]["content"] = ""; }},
      {"added token is very long", "bad_file", "2000 bytes", [](json& t) { t["added_tokens"][0]["content"] = std::string(2000, 'x'); }},
      {"added id taken", "bad_file", "both have id", [](json& t) { t["added_tokens"][0]["id"] = 3; }},
      {"added id leaves a gap", "bad_file", "without gaps", [](json& t) { t["added_tokens"][2]["id"] = 400; }},
      {"added token twice", "bad_file", "both have id", [](json& t) { t["added_tokens"].push_back(t["added_tokens"][0]); }},
      {"added text twice", "bad_file", "appears twice", [](json& t) { t["added_tokens"][1]["content"] = "<|end|>"; }},
      {"added token strips", "unsupported", "lstrip", [](json& t) { t["added_tokens"][0]["lstrip"] = true; }},
      {"added flag is text", "bad_file", "special", [](json& t) { t["added_tokens"][0]["special"] = "yes"; }},
  };
  return table;
}
// clang-format on

TEST(TokenizerFile, TheUndamagedFileIsRead) {
  EXPECT_EQ(error_of_json(small_tokenizer_json().dump()), "");
}

TEST(TokenizerFile, EveryDamageIsRefusedWithOneClearError) {
  for (const Damage& damage : damages()) {
    json tokenizer = small_tokenizer_json();
    damage.apply(tokenizer);
    const std::string error = error_of_json(tokenizer.dump());
    EXPECT_EQ(error.substr(0, error.find(':')), damage.kind) << damage.name << " → " << error;
    EXPECT_NE(error.find("file: "), std::string::npos) << damage.name << " → " << error;
    EXPECT_NE(error.find(damage.mentions), std::string::npos) << damage.name << " → " << error;
    EXPECT_LT(error.size(), 400u) << damage.name << " → " << error;
  }
}

TEST(TokenizerFile, BrokenTextIsRefused) {
  const std::string whole = small_tokenizer_json().dump();
  const std::vector<std::string> texts = {"",
                                          " ",
                                          "{",
                                          "[]",
                                          "null",
                                          "3",
                                          "\"x\"",
                                          whole + "x",
                                          whole + whole,
                                          "\xff\xfe{}",
                                          std::string(16, '\0'),
                                          "{\"model\":{\"vocab\":{\"a\":0,\"a\":0",
                                          R"({"model":{"vocab":{"a":0},"vocab":{"b":1}}})",
                                          R"({"model":{},"model":{}})",
                                          "{\"a\":\"\xff\"}",
                                          std::string(1'000'000, '['),
                                          "{\"model\":" + std::string(100, '['),
                                          "{\"model\":{\"vocab\":{\"a\":" + std::string(100, '['),
                                          "{\"model\":{\"merges\":" + std::string(100, '[')};
  for (const std::string& text : texts) {
    EXPECT_EQ(error_of_json(text).substr(0, 9), "bad_file:") << text.substr(0, 60);
  }
}

TEST(TokenizerFile, EveryTruncationIsRefused) {
  const std::string whole = small_tokenizer_json().dump();
  for (std::size_t n = 0; n < whole.size(); n += 7) {
    EXPECT_EQ(error_of_json(whole.substr(0, n)).substr(0, 9), "bad_file:") << n;
  }
}

TEST(TokenizerFile, ATreeOfMillionsOfValuesIsRefused) {
  std::string text = "{\"padding\":[";
  for (int i = 0; i < 1'100'000; ++i) text += "0,";
  EXPECT_NE(error_of_json(text + "0]}").find("more than"), std::string::npos);
}

TEST(TokenizerFile, BrokenVocabAndMergesAreRefused) {
  const json tokenizer = small_tokenizer_json();
  const std::string vocabulary = tokenizer["model"]["vocab"].dump();
  const auto error = [](const std::string& vocab, const std::string& merges,
                        std::vector<AddedToken> added = {}) {
    const std::string text =
        error_of([&] { Tokenizer::from_vocab_and_merges(vocab, merges, added, "folder"); });
    return text.substr(0, text.find(':'));
  };
  EXPECT_EQ(error(vocabulary, "#version: 0.2\na b\r\nab a\n\n"), "");
  EXPECT_EQ(error("", ""), "bad_file");
  EXPECT_EQ(error("[]", ""), "bad_file");
  EXPECT_EQ(error("{}", ""), "bad_file");
  EXPECT_EQ(error("{\"a\": {}}", ""), "bad_file");
  EXPECT_EQ(error("{\"a\": 0}", ""), "bad_file");
  EXPECT_EQ(error(vocabulary + "}", ""), "bad_file");
  EXPECT_EQ(error(vocabulary, "ab"), "bad_file");
  EXPECT_EQ(error(vocabulary, "a b c"), "bad_file");
  EXPECT_EQ(error(vocabulary, " b"), "bad_file");
  EXPECT_EQ(error(vocabulary, "a "), "bad_file");
  EXPECT_EQ(error(vocabulary, "a zz"), "bad_file");
  EXPECT_EQ(error(vocabulary, "a b\na b\n"), "bad_file");
  EXPECT_EQ(error(vocabulary, "\xff b\n"), "bad_file");
  EXPECT_EQ(error(vocabulary, "", {{999, "<x>", true}}), "bad_file");
  EXPECT_EQ(error(vocabulary, "", {{264, "\xff", true}}), "bad_file");
  EXPECT_EQ(error(vocabulary, "", {{264, "<x>", true}}), "");
  EXPECT_EQ(error(vocabulary, "", {{0, "<x>", true}}), "bad_file");
  EXPECT_EQ(error(vocabulary, "", {{-5, "<x>", true}}), "bad_file");
}

TEST(TokenizerFile, BrokenAddedTokenFilesAreRefused) {
  const auto error = [](const std::string& config, const std::string& added) {
    const std::string text = error_of([&] { read_added_tokens(config, added, "folder"); });
    return text.substr(0, text.find(':'));
  };
  EXPECT_EQ(error("", ""), "");
  EXPECT_EQ(error("{}", "{}"), "");
  EXPECT_EQ(error("[]", ""), "bad_file");
  EXPECT_EQ(error("{", ""), "bad_file");
  EXPECT_EQ(error(R"({"added_tokens_decoder": []})", ""), "bad_file");
  EXPECT_EQ(error(R"({"added_tokens_decoder": {"x": {"content": "a"}}})", ""), "bad_file");
  EXPECT_EQ(error(R"({"added_tokens_decoder": {"9999999999": {"content": "a"}}})", ""), "bad_file");
  EXPECT_EQ(error(R"({"added_tokens_decoder": {"5": "a"}})", ""), "bad_file");
  EXPECT_EQ(error(R"({"added_tokens_decoder": {"5": {"content": 5}}})", ""), "bad_file");
  EXPECT_EQ(error(R"({"added_tokens_decoder": {"5": {"content": "a", "rstrip": true}}})", ""),
            "unsupported");
  EXPECT_EQ(error("", R"({"a": "b"})"), "bad_file");
  EXPECT_EQ(error("", R"({"a": -1})"), "bad_file");
}

}  // namespace
}  // namespace qwenvl
