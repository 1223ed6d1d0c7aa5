// The hand-written regular expression, alternative by alternative.
#include "text/tokenizer/pretokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace qwenvl {
namespace {

using Pieces = std::vector<std::string>;

Pieces pieces_of(const std::string& text) {
  Pieces pieces;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = next_piece(text, begin);
    pieces.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return pieces;
}

TEST(Pretokenizer, TakesContractionsInAnyCase) {
  EXPECT_EQ(pieces_of("it's"), (Pieces{"it", "'s"}));
  EXPECT_EQ(pieces_of("IT'LL'Ve"), (Pieces{"IT", "'LL", "'Ve"}));
  EXPECT_EQ(pieces_of("x'\u017fy"), (Pieces{"x", "'\u017f", "y"}));
  EXPECT_EQ(pieces_of("'lx"), (Pieces{"'lx"}));
  EXPECT_EQ(pieces_of("'star"), (Pieces{"'s", "tar"}));
}

TEST(Pretokenizer, PutsOneOtherCharacterBeforeAWord) {
  EXPECT_EQ(pieces_of(" word.word"), (Pieces{" word", ".word"}));
  EXPECT_EQ(pieces_of("\tword"), (Pieces{"\tword"}));
  EXPECT_EQ(pieces_of("\nword"), (Pieces{"\n", "word"}));
  EXPECT_EQ(pieces_of("\u3000\u3000字"), (Pieces{"\u3000", "\u3000字"}));
  EXPECT_EQ(pieces_of("1a"), (Pieces{"1", "a"}));
}

TEST(Pretokenizer, CutsNumbersIntoDigits) {
  EXPECT_EQ(pieces_of("12 34"), (Pieces{"1", "2", " ", "3", "4"}));
  EXPECT_EQ(pieces_of("٣½"), (Pieces{"٣", "½"}));
}

TEST(Pretokenizer, KeepsPunctuationWithASpaceBeforeAndLineBreaksBehind) {
  EXPECT_EQ(pieces_of("a !?\n\n b"), (Pieces{"a", " !?\n\n", " b"}));
  EXPECT_EQ(pieces_of("  !"), (Pieces{" ", " !"}));
  EXPECT_EQ(pieces_of("\t!"), (Pieces{"\t", "!"}));
  EXPECT_EQ(pieces_of("!a"), (Pieces{"!a"}));
}

TEST(Pretokenizer, EndsWhitespaceAtItsLastLineBreakOrBeforeItsLastCharacter) {
  EXPECT_EQ(pieces_of("a \n  \n  b"), (Pieces{"a", " \n  \n", " ", " b"}));
  EXPECT_EQ(pieces_of("   1"), (Pieces{"  ", " ", "1"}));
  EXPECT_EQ(pieces_of("a   "), (Pieces{"a", "   "}));
  EXPECT_EQ(pieces_of(" 1"), (Pieces{" ", "1"}));
  EXPECT_EQ(pieces_of("\r\n\t"), (Pieces{"\r\n", "\t"}));
}

}  // namespace
}  // namespace qwenvl
