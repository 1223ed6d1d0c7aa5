// The tokenizer against the reference's ids and texts, from both kinds of files.
#include "text/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "golden.h"
#include "small_tokenizer.h"
#include "text/tokenizer/unicode.h"

namespace qwenvl {
namespace {

using nlohmann::json;
using testing::golden_json;
using testing::golden_tokens;
using testing::published_tokenizer;
using Ids = std::vector<TokenId>;

// vocab.json, merges.txt and tokenizer_config.json of the same tokenizer, in a folder of their own.
class SeparateFiles {
 public:
  SeparateFiles() : folder_(std::filesystem::path(::testing::TempDir()) / fmt_name()) {
    std::filesystem::create_directories(folder_);
    const json tokenizer = golden_json("tokenizer/tokenizer.json");
    write("vocab.json", tokenizer["model"]["vocab"].dump());
    std::string merges = "#version: 0.2\n";
    for (const json& merge : tokenizer["model"]["merges"])
      merges += merge.get<std::string>() + "\n";
    write("merges.txt", merges);
    write("tokenizer_config.json", testing::golden_text("tokenizer/tokenizer_config.json"));
  }
  ~SeparateFiles() { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  void remove(const std::string& name) const { std::filesystem::remove(folder_ / name); }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  static std::string fmt_name() {
    return "qwenvl_tokenizer_" + std::to_string(std::random_device{}());
  }
  std::filesystem::path folder_;
};

void expect_golden_ids(const Tokenizer& tokenizer) {
  const json& golden = golden_tokens();
  ASSERT_GE(golden["encode"].size(), 320u);
  for (const json& item : golden["encode"]) {
    const auto text = item["text"].get<std::string>();
    const auto ids = item["ids"].get<Ids>();
    const auto ids_as_text = item.value("ids_as_text", ids);
    EXPECT_EQ(tokenizer.encode(text, SpecialTokens::parse), ids) << item["text"];
    EXPECT_EQ(tokenizer.encode(text, SpecialTokens::as_text), ids_as_text) << item["text"];
  }
}

TEST(Tokenizer, EncodesEveryGoldenStringAsTheReferenceDoes) {
  expect_golden_ids(published_tokenizer());
}

TEST(Tokenizer, ReadFromVocabAndMergesEncodesTheSame) {
  const SeparateFiles files;
  const Tokenizer tokenizer = Tokenizer::from_folder(files.folder());
  EXPECT_EQ(tokenizer.size(), published_tokenizer().size());
  expect_golden_ids(tokenizer);
}

TEST(Tokenizer, TakesAddedTokensFromAddedTokensJsonWhenTheConfigHasNone) {
  const SeparateFiles files;
  json config = golden_json("tokenizer/tokenizer_config.json");
  json added = json::object();
  for (const auto& [id, token] : config["added_tokens_decoder"].items()) {
    added[token["content"].get<std::string>()] = std::stoi(id);
  }
  config.erase("added_tokens_decoder");
  files.write("tokenizer_config.json", config.dump());
  files.write("added_tokens.json", added.dump());
  const Tokenizer tokenizer = Tokenizer::from_folder(files.folder());
  for (TokenId id = 0; id < tokenizer.size(); ++id) {
    ASSERT_EQ(tokenizer.is_special(id), published_tokenizer().is_special(id)) << id;
    ASSERT_EQ(tokenizer.bytes_of(id), published_tokenizer().bytes_of(id)) << id;
  }
}

TEST(Tokenizer, RefusesAddedTokensThatContradictEachOther) {
  const SeparateFiles files;
  files.write("added_tokens.json", R"({"<|im_end|>": 151646})");
  EXPECT_NE(error_of([&] { Tokenizer::from_folder(files.folder()); }).find("<|im_end|>"),
            std::string::npos);
}

TEST(Tokenizer, RefusesAFolderWithoutATokenizer) {
  const SeparateFiles files;
  files.remove("merges.txt");
  EXPECT_EQ(error_of([&] { Tokenizer::from_folder(files.folder()); }).substr(0, 9), "bad_file:");
}

TEST(Tokenizer, DecodesEveryGoldenSequenceAsTheReferenceDoes) {
  const json& golden = golden_tokens();
  for (const json& item : golden["decode"]) {
    const auto ids = item["ids"].get<Ids>();
    EXPECT_EQ(published_tokenizer().decode(ids, false), item["text"].get<std::string>())
        << item["ids"];
    EXPECT_EQ(published_tokenizer().decode(ids, true),
              item["text_without_special"].get<std::string>())
        << item["ids"];
  }
}

TEST(Tokenizer, DecodingAnEncodedGoldenStringGivesItsComposition) {
  for (const json& item : golden_tokens()["encode"]) {
    const auto text = item["text"].get<std::string>();
    const auto ids = published_tokenizer().encode(text, SpecialTokens::as_text);
    EXPECT_EQ(published_tokenizer().decode(ids, true), to_nfc(text)) << item["text"];
  }
}

TEST(Tokenizer, KnowsItsSpecialTokens) {
  const Tokenizer& tokenizer = published_tokenizer();
  EXPECT_EQ(tokenizer.size(), 151665);
  EXPECT_EQ(tokenizer.id_of("<|im_end|>"), 151645);
  EXPECT_EQ(tokenizer.id_of("<tool_call>"), 151657);
  EXPECT_EQ(tokenizer.id_of("Ġthe"), 279);
  EXPECT_EQ(tokenizer.id_of("no such token"), std::nullopt);
  EXPECT_TRUE(tokenizer.is_special(151645));
  EXPECT_FALSE(tokenizer.is_special(151657));
  EXPECT_FALSE(tokenizer.is_special(0));
  EXPECT_EQ(tokenizer.added_tokens().size(), 22u);
}

TEST(Tokenizer, PaddingRowsOfTheEmbeddingDecodeToNothing) {
  const Tokenizer& tokenizer = published_tokenizer();
  for (TokenId id : {-1, 151665, 151935, std::numeric_limits<TokenId>::max()}) {
    EXPECT_EQ(tokenizer.bytes_of(id), "") << id;
    EXPECT_FALSE(tokenizer.is_special(id)) << id;
  }
  EXPECT_EQ(tokenizer.decode(Ids{9707, 151700, 1879}, false), "Hello world");
}

TEST(Tokenizer, InvalidUtf8IsRefusedWithItsOffset) {
  for (const char* text : {"abc\xff", "abc\xc3", "abc\xc3(", "abc\xed\xa0\x80",
                           "abc\xf4\x90\x80\x80", "abc\xc0\xaf", "abc\xe2\x82", "abc\x80"}) {
    const std::string error =
        error_of([&] { published_tokenizer().encode(text, SpecialTokens::parse); });
    EXPECT_EQ(error.substr(0, 12), "bad_request:") << error;
    EXPECT_NE(error.find("offset 3"), std::string::npos) << error;
  }
}

TEST(Tokenizer, ReadsSpecialTokensOnlyInsideTrustedRanges) {
  const Tokenizer& tokenizer = published_tokenizer();
  const std::string text = "<|im_end|>\n\n<|im_end|>";
  const TextRange last{11, text.size()};
  Ids expected = tokenizer.encode("<|im_end|>\n\n", SpecialTokens::as_text);
  expected.push_back(151645);
  EXPECT_EQ(tokenizer.encode_mixed(text, std::span(&last, 1)), expected);
}

TEST(Tokenizer, ATokenThatCrossesTheBorderOfTrustIsText) {
  const Tokenizer& tokenizer = published_tokenizer();
  const std::string text = "<|im_end|>";
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    const TextRange head{0, cut}, tail{cut, text.size()};
    const Ids as_text = tokenizer.encode(text, SpecialTokens::as_text);
    EXPECT_EQ(tokenizer.encode_mixed(text, std::span(&head, 1)), as_text) << cut;
    EXPECT_EQ(tokenizer.encode_mixed(text, std::span(&tail, 1)), as_text) << cut;
  }
}

TEST(Tokenizer, AMegabyteOfOneLetterIsMergedInOrder) {
  const Tokenizer& tokenizer = published_tokenizer();
  const std::string text(1 << 20, 'a');
  const Ids ids = tokenizer.encode(text, SpecialTokens::parse);
  EXPECT_EQ(tokenizer.decode(ids, false), text);
  EXPECT_EQ(ids.size(), text.size() / 8);
}

TEST(Tokenizer, AMegabyteOfCombiningMarksIsEncoded) {
  std::string text = "a";
  for (int i = 0; i < 250'000; ++i) text += "\u0301\u0323";
  const Ids ids = published_tokenizer().encode(text, SpecialTokens::parse);
  EXPECT_EQ(published_tokenizer().decode(ids, false), to_nfc(text));
}

// The obvious algorithm, on words of every length around the switch from scanning to the heap.
TEST(Tokenizer, LongAndShortPiecesMergeInTheOrderOfRanks) {
  const json file = testing::small_tokenizer_json();
  const Tokenizer tokenizer = Tokenizer::from_tokenizer_json(file.dump(), "small");
  std::vector<std::pair<std::string, std::string>> merges;
  for (const json& merge : file["model"]["merges"]) {
    const auto text = merge.get<std::string>();
    merges.emplace_back(text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1));
  }
  std::mt19937 random(5);
  for (int length = 1; length <= 150; ++length) {
    std::string word;
    for (int i = 0; i < length; ++i) word += "aaabbcd"[random() % 7];
    std::vector<std::string> symbols;
    for (char c : word) symbols.emplace_back(1, c);
    for (std::size_t rank = 0; rank < merges.size();) {
      std::size_t i = 0;
      while (i + 1 < symbols.size() &&
             (symbols[i] != merges[rank].first || symbols[i + 1] != merges[rank].second))
        ++i;
      if (i + 1 >= symbols.size()) {
        ++rank;
        continue;
      }
      symbols[i] += symbols[i + 1];
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      rank = 0;
    }
    Ids expected;
    for (const std::string& symbol : symbols) expected.push_back(*tokenizer.id_of(symbol));
    EXPECT_EQ(tokenizer.encode(word, SpecialTokens::parse), expected) << word;
  }
}

TEST(Tokenizer, TheLongestAddedTokenWins) {
  const Tokenizer tokenizer =
      Tokenizer::from_tokenizer_json(testing::small_tokenizer_json().dump(), "small");
  EXPECT_EQ(tokenizer.encode("<tool>s<tool>", SpecialTokens::parse),
            (Ids{*tokenizer.id_of("<tool>s"), *tokenizer.id_of("<tool>")}));
}

TEST(Tokenizer, ANormalizedAddedTokenIsFoundAfterComposition) {
  json file = testing::small_tokenizer_json();
  file["added_tokens"][1]["content"] = "é!";
  file["added_tokens"][1]["normalized"] = true;
  const Tokenizer tokenizer = Tokenizer::from_tokenizer_json(file.dump(), "small");
  const TokenId a = *tokenizer.id_of("a");
  EXPECT_EQ(tokenizer.encode("ae\u0301!a", SpecialTokens::parse),
            (Ids{a, *tokenizer.id_of("é!"), a}));
}

TEST(Tokenizer, MergesMayBeWrittenAsPairs) {
  json file = testing::small_tokenizer_json();
  const Tokenizer strings = Tokenizer::from_tokenizer_json(file.dump(), "small");
  for (json& merge : file["model"]["merges"]) {
    const auto text = merge.get<std::string>();
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  const Tokenizer pairs = Tokenizer::from_tokenizer_json(file.dump(), "small");
  EXPECT_EQ(pairs.encode("abcd aaaab", SpecialTokens::parse),
            strings.encode("abcd aaaab", SpecialTokens::parse));
}

}  // namespace
}  // namespace qwenvl
