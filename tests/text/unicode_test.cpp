// UTF-8 steps, composition and character classes.
#include "text/tokenizer/unicode.h"

#include <gtest/gtest.h>

#include "golden.h"

namespace qwenvl {
namespace {

std::string lossy(std::string_view bytes) {
  std::string text;
  append_utf8_lossy(text, bytes);
  return text;
}

TEST(Unicode, EveryCodePointSurvivesEncodingAndDecoding) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Step step = next_utf8(text, 0);
    ASSERT_EQ(step.status, Utf8Step::Status::valid) << std::hex << static_cast<unsigned>(c);
    ASSERT_EQ(step.code_point, c);
    ASSERT_EQ(step.n_bytes, text.size());
  }
}

TEST(Unicode, EachMaximalSubpartBecomesOneReplacement) {
  const std::string r = "\uFFFD";
  const std::vector<std::pair<std::string, std::string>> table = {
      {"\x80", r},
      {"\xff", r},
      {"\xc0\xaf", r + r},                  // overlong
      {"\xe0\x80\x80", r + r + r},          // overlong
      {"\xed\xa0\x80", r + r + r},          // surrogate
      {"\xf4\x90\x80\x80", r + r + r + r},  // beyond U+10FFFF
      {"\xf5\x80\x80\x80", r + r + r + r},
      {"\xe2\x82", r},  // ends inside a character
      {"\xf0\x9f\x98", r},
      {"\xf0\x9f\x98z", r + "z"},
      {"\xe2\x82\xe2\x82\xac", r + "\u20ac"},
      {"a\xf0\x9f\xc3(", "a" + r + r + "("},
      {"\xc3", r},
      {"ok", "ok"}};
  for (const auto& [bytes, text] : table)
    EXPECT_EQ(lossy(bytes), text) << ::testing::PrintToString(bytes);
}

TEST(Unicode, KnowsHowMuchOfACharacterIsAtTheEnd) {
  EXPECT_EQ(incomplete_utf8_suffix(""), 0u);
  EXPECT_EQ(incomplete_utf8_suffix("a"), 0u);
  EXPECT_EQ(incomplete_utf8_suffix("a\xc3"), 1u);
  EXPECT_EQ(incomplete_utf8_suffix("a\xe2\x82"), 2u);
  EXPECT_EQ(incomplete_utf8_suffix("a\xf0\x9f\x98"), 3u);
  EXPECT_EQ(incomplete_utf8_suffix("a\xf0\x9f\x98\x80"), 0u);
  EXPECT_EQ(incomplete_utf8_suffix("a\xed\xa0"), 0u);  // can never become a character
  EXPECT_EQ(incomplete_utf8_suffix("a\x82"), 0u);
  EXPECT_EQ(incomplete_utf8_suffix("\x82\x82\x82\x82"), 0u);
}

TEST(Unicode, ComposesAsTheReferenceDoes) {
  EXPECT_EQ(to_nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(to_nfc("q\u0307\u0323"), "q\u0323\u0307");
  EXPECT_EQ(to_nfc("\u1112\u1161\u11ab"), "\ud55c");
  EXPECT_EQ(to_nfc("\u1105\u1169\u11a7"), "\ub85c\u11a7");  // not a final consonant
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093c");              // excluded from composition
  EXPECT_EQ(to_nfc("a\u0899\u0301"), "a\u0899\u0301");      // a mark younger than its tables
  EXPECT_EQ(to_nfc("\U00011935\U00011930"), "\U00011935\U00011930");
  EXPECT_EQ(to_nfc("plain, 漢字, 한글, かな"), "plain, 漢字, 한글, かな");
}

TEST(Unicode, CompositionOfAComposedTextChangesNothing) {
  for (const auto& item : testing::golden_tokens()["encode"]) {
    const std::string once = to_nfc(item["text"].get<std::string>());
    EXPECT_EQ(to_nfc(once), once);
  }
}

TEST(Unicode, SkippingTheTablesForCommonBlocksIsSafe) {
  // A mark at the end sends the text through the tables; what is before it must not change.
  for (char32_t c = 0; c < 0x10000; ++c) {
    const bool is_common = c < 0x300 || (c >= 0x400 && c <= 0x482) ||
                           (c >= 0x3001 && c <= 0x3029) || (c >= 0x3041 && c <= 0x3096) ||
                           (c >= 0x30A1 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) ||
                           (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0x2010 && c <= 0x2027) ||
                           (c >= 0xFF01 && c <= 0xFF60);
    if (!is_common) continue;
    std::string text = "a";
    append_utf8(text, c);
    ASSERT_EQ(to_nfc(text), text);
    ASSERT_EQ(to_nfc(text + ".q\u0323"), text + ".q\u0323") << std::hex << static_cast<unsigned>(c);
  }
}

TEST(Unicode, ClassesAreThoseOfTheRegularExpression) {
  const std::vector<std::pair<char32_t, CharClass>> table = {
      {'a', CharClass::letter},     {0x1C89, CharClass::letter}, {0x2EBF0, CharClass::letter},
      {0x4E00, CharClass::letter},  {0x2B0, CharClass::letter},  {'7', CharClass::number},
      {0x663, CharClass::number},   {0xBD, CharClass::number},   {0x2167, CharClass::number},
      {0x10D40, CharClass::number}, {'\n', CharClass::newline},  {'\r', CharClass::newline},
      {' ', CharClass::space},      {0x85, CharClass::space},    {0xA0, CharClass::space},
      {0x3000, CharClass::space},   {0x2028, CharClass::space},  {0x0B, CharClass::space},
      {0x1C, CharClass::other},     {0x180E, CharClass::other},  {0x200B, CharClass::other},
      {0x301, CharClass::other},    {0xE000, CharClass::other},  {0xFFFF, CharClass::other},
      {0x1F600, CharClass::other},  {'_', CharClass::other}};
  for (const auto& [code_point, kind] : table) {
    EXPECT_EQ(class_of(code_point), kind) << std::hex << static_cast<unsigned>(code_point);
  }
}

}  // namespace
}  // namespace qwenvl
