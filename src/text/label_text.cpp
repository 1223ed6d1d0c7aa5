// Labels of marks. Before: marks.cpp finds the bytes of a label.   After: they are shown and drawn.
#include "text/label_text.h"

#include <charconv>
#include <cstdint>
#include <optional>

#include "text/mark_bytes.h"

namespace qwenvl {
namespace {

using namespace mark_bytes;

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

// Four hexadecimal digits at `at`.
std::optional<std::uint32_t> hex4(std::string_view text, std::size_t at) {
  if (at + 4 > text.size()) return {};
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + at + 4, value, 16);
  if (error != std::errc() || end != text.data() + at + 4) return {};
  return value;
}

// A \uXXXX at `at` (the digits), with its second half if it is a surrogate pair; moves `at` on.
void append_unicode_escape(std::string& out, std::string_view text, std::size_t& at) {
  std::optional<std::uint32_t> code = hex4(text, at);
  if (!code) {
    out += "\\u";
    return;
  }
  at += 4;
  if (*code >= 0xd800 && *code < 0xdc00 && text.substr(at, 2) == "\\u") {
    const std::optional<std::uint32_t> low = hex4(text, at + 2);
    if (low && *low >= 0xdc00 && *low < 0xe000) {
      code = 0x10000 + ((*code - 0xd800) << 10) + (*low - 0xdc00);
      at += 6;
    }
  }
  append_utf8(out, *code >= 0xd800 && *code < 0xe000 ? 0xfffd : *code);
}

}  // namespace

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at++];
    if (c != '\\' || at == text.size()) {
      out.push_back(c);
      continue;
    }
    const char escape = text[at++];
    switch (escape) {
      case 'n': out.push_back('\n'); break;
      case 't': out.push_back('\t'); break;
      case 'r': out.push_back('\r'); break;
      case 'b': out.push_back('\b'); break;
      case 'f': out.push_back('\f'); break;
      case 'u': append_unicode_escape(out, text, at); break;
      case '"':
      case '\'':
      case '\\':
      case '/': out.push_back(escape); break;
      default: out.append({'\\', escape}); break;
    }
  }
  return out;
}

std::string label_of(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  if (text.size() <= kMaxLabelBytes) return std::string(text);
  std::size_t end = kMaxLabelBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "…";
}

}  // namespace qwenvl
