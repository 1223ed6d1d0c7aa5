// Streaming: whole characters, nothing of a stop string, and in sum what decode() says.
#include "text/tokenizer/detokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "golden.h"
#include "text/tokenizer/unicode.h"

namespace qwenvl {
namespace {

using testing::golden_tokens;
using testing::published_tokenizer;
using Ids = std::vector<TokenId>;

TEST(Detokenizer, PiecesTogetherEqualDecodeAndAreWholeCharacters) {
  for (const auto& item : golden_tokens()["decode"]) {
    const auto ids = item["ids"].get<Ids>();
    for (bool skip_special : {false, true}) {
      Detokenizer stream(published_tokenizer(), {}, skip_special);
      std::string text;
      for (TokenId id : ids) {
        const std::string piece = stream.push(id);
        EXPECT_EQ(find_invalid_utf8(piece), std::string::npos) << item["ids"];
        text += piece;
      }
      text += stream.finish();
      EXPECT_EQ(text, published_tokenizer().decode(ids, skip_special)) << item["ids"];
    }
  }
}

TEST(Detokenizer, EveryEncodedGoldenStringComesBackInPieces) {
  for (const auto& item : golden_tokens()["encode"]) {
    const auto ids = item["ids"].get<Ids>();
    Detokenizer stream(published_tokenizer(), {"\u0001never\u0001"}, false);
    std::string text;
    for (TokenId id : ids) text += stream.push(id);
    text += stream.finish();
    EXPECT_EQ(text, published_tokenizer().decode(ids, false)) << item["text"];
  }
}

TEST(Detokenizer, HoldsACharacterUntilItIsWhole) {
  const Ids ids = published_tokenizer().encode("\U000F1234", SpecialTokens::parse);
  ASSERT_GT(ids.size(), 1u);
  Detokenizer stream(published_tokenizer(), {});
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) EXPECT_EQ(stream.push(ids[i]), "");
  EXPECT_EQ(stream.push(ids.back()), "\U000F1234");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Detokenizer, AnUnfinishedCharacterBecomesAReplacementAtTheEnd) {
  const Ids ids = published_tokenizer().encode("\U000F1234", SpecialTokens::parse);
  Detokenizer stream(published_tokenizer(), {});
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
}

// The stop string that ends first, the longest of those; what is before it.
std::pair<std::string, std::string> cut(const std::string& text,
                                        const std::vector<std::string>& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::string best;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0 &&
          stop.size() > best.size()) {
        best = stop;
      }
    }
    if (!best.empty()) return {text.substr(0, end - best.size()), best};
  }
  return {text, ""};
}

// Ids of any bytes: the tokenizer's where they are text, one for each byte where they are not.
Ids ids_of(const std::string& bytes) {
  const Tokenizer& tokenizer = published_tokenizer();
  if (find_invalid_utf8(bytes) == std::string::npos) {
    return tokenizer.encode(bytes, SpecialTokens::as_text);
  }
  static const std::vector<TokenId> byte_ids = [&] {
    std::vector<TokenId> ids(256);
    for (TokenId id = 0; id < 256; ++id)
      ids[static_cast<unsigned char>(tokenizer.bytes_of(id)[0])] = id;
    return ids;
  }();
  Ids ids;
  for (unsigned char byte : bytes) ids.push_back(byte_ids[byte]);
  return ids;
}

TEST(Detokenizer, CutsRandomTextAtRandomStopStringsHoweverItIsTokenised) {
  std::mt19937 random(11);
  const auto random_text = [&](int length) {
    static const std::vector<std::string> letters = {"a", "b", "ab", "\n", "é", "😀", "User:", " "};
    std::string text;
    for (int i = 0; i < length; ++i) text += letters[random() % letters.size()];
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    const std::string text = random_text(static_cast<int>(random() % 20));
    std::vector<std::string> stops;
    for (unsigned i = 0; i < 1 + random() % 3; ++i) {
      stops.push_back(random_text(1 + static_cast<int>(random() % 5)));
    }
    const auto [expected, matched] = cut(text, stops);
    Detokenizer stream(published_tokenizer(), stops);
    std::string out;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t n = 1 + random() % 6;
      for (TokenId id : ids_of(text.substr(begin, n))) out += stream.push(id);
      begin += n;
      EXPECT_EQ(expected.compare(0, out.size(), out), 0) << "emitted too much of " << text;
    }
    out += stream.finish();
    EXPECT_EQ(out, expected) << text;
    EXPECT_EQ(stream.matched_stop(), matched) << text;
  }
}

TEST(Detokenizer, AStopStringMaySpanTokens) {
  Detokenizer stream(published_tokenizer(), {"\nUser:"});
  std::string text;
  for (TokenId id : published_tokenizer().encode("Yes.\nUser: more", SpecialTokens::parse)) {
    text += stream.push(id);
    if (stream.is_stopped()) break;
  }
  EXPECT_EQ(text, "Yes.");
  EXPECT_EQ(stream.matched_stop(), "\nUser:");
  EXPECT_EQ(stream.push(9707), "");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Detokenizer, TextThatOnlyBeganAsAStopStringComesOut) {
  Detokenizer stream(published_tokenizer(), {"Hello world!"});
  EXPECT_EQ(stream.push(9707), "");  // "Hello"
  EXPECT_EQ(stream.push(1879), "");  // " world"
  EXPECT_EQ(stream.push(13), "Hello world.");
  EXPECT_EQ(stream.push(9707), "");
  EXPECT_EQ(stream.finish(), "Hello");
  EXPECT_FALSE(stream.is_stopped());
}

TEST(Detokenizer, ALongStopStringOfOneLetterIsCheap) {
  Detokenizer stream(published_tokenizer(), {std::string(200'000, 'a') + "b"});
  const TokenId id = *published_tokenizer().id_of("aaaaaaaa");
  for (int i = 0; i < 24'999; ++i) EXPECT_EQ(stream.push(id), "");
  EXPECT_EQ(stream.finish().size(), 24'999u * 8);
}

TEST(Detokenizer, RefusesEmptyAndBrokenStopStrings) {
  for (const char* stop : {"", "\xff", "a\xc3"}) {
    const std::string error = error_of([&] { Detokenizer(published_tokenizer(), {stop}); });
    EXPECT_EQ(error.substr(0, 12), "bad_request:") << error;
  }
}

TEST(Detokenizer, SpecialTokensAreShownOnlyWhenAsked) {
  Detokenizer shown(published_tokenizer(), {}, false), hidden(published_tokenizer(), {}, true);
  EXPECT_EQ(shown.push(151645), "<|im_end|>");
  EXPECT_EQ(hidden.push(151645), "");
  EXPECT_EQ(hidden.push(151657), "<tool_call>");
}

}  // namespace
}  // namespace qwenvl
