// UTF-8 by hand; NFC and character classes through utf8proc.
#include "text/tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

#include "core/check.h"

namespace qwenvl {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct LeadByte {
  int n_bytes;  // 0: not the first byte of any character
  unsigned char second_min, second_max;
};

LeadByte lead_byte(unsigned char byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};  // below: overlong
  if (byte == 0xED) return {3, 0x80, 0x9F};  // above: surrogates
  if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};  // below: overlong
  if (byte == 0xF4) return {4, 0x80, 0x8F};  // above: beyond U+10FFFF
  if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
  return {0, 0, 0};
}

struct CodeRange {
  char32_t first, last;
};

bool contains(const CodeRange* begin, const CodeRange* end, char32_t c) {
  const CodeRange* range =
      std::upper_bound(begin, end, c, [](char32_t x, const CodeRange& r) { return x < r.first; });
  return range != begin && c <= range[-1].last;
}

// Letters and numbers assigned by Unicode 15.1 and 16. The reference knows them; older releases of
// utf8proc report them as unassigned. Only consulted for such code points.
constexpr CodeRange kNewerLetters[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3},
    {0x10D4A, 0x10D65}, {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389},
    {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113B7},
    {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x13460, 0x143FA},
    {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
    {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D},
};
constexpr CodeRange kNewerNumbers[] = {
    {0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x16130, 0x16139},
    {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9}, {0x1E5F1, 0x1E5FA},
};

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

CharClass classify(char32_t c) {
  if (c == '\r' || c == '\n') return CharClass::newline;
  if (is_white_space(c)) return CharClass::space;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return CharClass::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return CharClass::number;
    case UTF8PROC_CATEGORY_CN:
      if (contains(std::begin(kNewerLetters), std::end(kNewerLetters), c)) return CharClass::letter;
      if (contains(std::begin(kNewerNumbers), std::end(kNewerNumbers), c)) return CharClass::number;
      return CharClass::other;
    default: return CharClass::other;
  }
}

std::array<CharClass, 128> classify_ascii() {
  std::array<CharClass, 128> classes;
  for (char32_t c = 0; c < 128; ++c) classes[c] = classify(c);
  return classes;
}

// Blocks of common text whose characters neither change under NFC nor join a neighbour.
bool is_inert(char32_t c) {
  return c < 0x300 || (c >= 0x400 && c <= 0x482) || (c >= 0x2010 && c <= 0x2027) ||
         (c >= 0x3001 && c <= 0x3029) || (c >= 0x3041 && c <= 0x3096) ||
         (c >= 0x30A1 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) ||
         (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xFF01 && c <= 0xFF60);
}

// The reference composes by the tables of Unicode 9, older than those it classifies by. What later
// versions added to normalisation (marks that reorder, characters that compose) it passes through:
// nothing moves or joins across them. U+11A7 stands next to the Hangul finals without being one.
constexpr CodeRange kUncomposed[] = {
    {0x07FD, 0x07FD},   {0x0897, 0x089F},   {0x08CA, 0x08D3},   {0x09FE, 0x09FE},
    {0x0C3C, 0x0C3C},   {0x0D3B, 0x0D3C},   {0x0EBA, 0x0EBA},   {0x11A7, 0x11A7},
    {0x1715, 0x1715},   {0x1ABF, 0x1AFF},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},
    {0x105C0, 0x105FF}, {0x10D24, 0x10D27}, {0x10D40, 0x10D8F}, {0x10EAB, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x11380, 0x113FF}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11900, 0x1195F},
    {0x119A0, 0x11AAF}, {0x11D00, 0x11DAF}, {0x11F00, 0x11F5F}, {0x16100, 0x1613F},
    {0x16D40, 0x16D7F}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136},
    {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1E5EE, 0x1E5EF},
    {0x1E6E3, 0x1E6F5},
};

bool is_uncomposed(utf8proc_int32_t c) {
  return contains(std::begin(kUncomposed), std::end(kUncomposed), static_cast<char32_t>(c));
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

std::vector<utf8proc_int32_t> decomposed(std::string_view text) {
  std::vector<utf8proc_int32_t> out;
  out.reserve(text.size() + 8);
  utf8proc_int32_t parts[32];
  int boundary = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = next_utf8(text, at);
    QWENVL_CHECK(step.status == Utf8Step::Status::valid, "NFC of bytes that are not UTF-8");
    at += step.n_bytes;
    const auto code_point = static_cast<utf8proc_int32_t>(step.code_point);
    if (is_uncomposed(code_point)) {
      out.push_back(code_point);
      continue;
    }
    const utf8proc_ssize_t n =
        utf8proc_decompose_char(code_point, parts, 32, UTF8PROC_DECOMPOSE, &boundary);
    QWENVL_CHECK(n > 0 && n <= 32, "U+{:04X} decomposes into {} characters",
                 static_cast<std::uint32_t>(step.code_point), n);
    out.insert(out.end(), parts, parts + n);
  }
  return out;
}

// Canonical order: runs of combining marks sorted by class, equal classes left in place. Done here
// because utf8proc's own insertion sort is quadratic in the length of a run.
void order_marks(std::span<utf8proc_int32_t> text) {
  for (auto begin = text.begin(); begin != text.end();) {
    if (combining_class(*begin) == 0) {
      ++begin;
      continue;
    }
    auto end = begin + 1;
    while (end != text.end() && combining_class(*end) != 0) ++end;
    std::stable_sort(begin, end,
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

void append_composed(std::string& out, std::span<utf8proc_int32_t> text) {
  order_marks(text);
  const utf8proc_ssize_t n =
      utf8proc_normalize_utf32(text.data(), static_cast<utf8proc_ssize_t>(text.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  QWENVL_CHECK(n >= 0, "composition failed with {}", n);
  for (utf8proc_int32_t c : text.first(static_cast<std::size_t>(n))) {
    append_utf8(out, static_cast<char32_t>(c));
  }
}

}  // namespace

Utf8Step next_utf8(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {Utf8Step::Status::valid, 1, first};
  const LeadByte lead = lead_byte(first);
  if (lead.n_bytes == 0) return {Utf8Step::Status::invalid, 1, 0};
  char32_t value = first & (0x7Fu >> lead.n_bytes);
  for (int i = 1; i < lead.n_bytes; ++i) {
    const auto n_read = static_cast<std::uint8_t>(i);
    if (at + n_read >= text.size()) return {Utf8Step::Status::incomplete, n_read, 0};
    const unsigned char next = byte(n_read);
    const unsigned char low = i == 1 ? lead.second_min : 0x80;
    const unsigned char high = i == 1 ? lead.second_max : 0xBF;
    if (next < low || next > high) return {Utf8Step::Status::invalid, n_read, 0};
    value = (value << 6) | (next & 0x3Fu);
  }
  return {Utf8Step::Status::valid, static_cast<std::uint8_t>(lead.n_bytes), value};
}

std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const Utf8Step step = next_utf8(text, at);
    if (step.status != Utf8Step::Status::valid) return at;
    at += step.n_bytes;
  }
  return std::string_view::npos;
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

void append_utf8_lossy(std::string& out, std::string_view bytes) {
  out.reserve(out.size() + bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Step step = next_utf8(bytes, at);
    out += step.status == Utf8Step::Status::valid ? bytes.substr(at, step.n_bytes) : kReplacement;
    at += step.n_bytes;
  }
}

std::size_t incomplete_utf8_suffix(std::string_view bytes) {
  // An unfinished character is at most three bytes; only its first byte can say that it is one.
  for (std::size_t n = 1; n <= 3 && n <= bytes.size(); ++n) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - n]);
    if (byte < 0x80) return 0;
    if (byte < 0xC0) continue;
    const Utf8Step step = next_utf8(bytes, bytes.size() - n);
    return step.status == Utf8Step::Status::incomplete && step.n_bytes == n ? n : 0;
  }
  return 0;
}

std::string to_nfc(std::string_view text) {
  bool is_done = true;
  for (std::size_t at = 0; at < text.size() && is_done;) {
    const Utf8Step step = next_utf8(text, at);
    is_done = is_inert(step.code_point);
    at += step.n_bytes;
  }
  if (is_done) return std::string(text);

  std::vector<utf8proc_int32_t> code_points = decomposed(text);
  std::string out;
  out.reserve(text.size());
  for (auto begin = code_points.begin(); begin != code_points.end();) {
    const auto barrier = std::find_if(begin, code_points.end(), is_uncomposed);
    append_composed(out, {begin, barrier});
    begin = barrier;
    if (begin != code_points.end()) append_utf8(out, static_cast<char32_t>(*begin++));
  }
  return out;
}

CharClass class_of(char32_t code_point) {
  static const std::array<CharClass, 128> ascii = classify_ascii();
  return code_point < 128 ? ascii[code_point] : classify(code_point);
}

}  // namespace qwenvl
