// JSON text → the JSON text Python writes after reading it.
// Before: tool definitions and arguments from a caller.   After: chat_template.cpp.
// Mirrors json.dumps(json.loads(text), ensure_ascii=False), which the tool template's tojson calls.
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/check.h"
#include "text/chat_template.h"
#include "text/tokenizer/unicode.h"

namespace qwenvl {
namespace {

constexpr int kMaxDepth = 200;
constexpr std::size_t kMaxIntegerDigits = 4300;  // Python's own limit

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The value of a number that is not an integer. Beyond the range: infinity or zero, as strtod.
double parse_double(std::string_view digits) {
  double value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ec != std::errc::result_out_of_range) return value;
  // from_chars does not say on which side: the power of ten of the first digit that counts does.
  const bool is_negative = digits[0] == '-';
  digits.remove_prefix(is_negative);
  const std::size_t e = std::min(digits.find_first_of("eE"), digits.size());
  const std::string_view mantissa = digits.substr(0, e);
  const std::size_t point = std::min(mantissa.find('.'), mantissa.size());
  const std::size_t first = mantissa.find_first_of("123456789");
  bool is_huge = false;
  if (first != std::string_view::npos) {
    long long exponent = 0;
    if (e < digits.size()) {
      std::string_view text = digits.substr(e + 1);
      if (text[0] == '+') text.remove_prefix(1);
      const auto read = std::from_chars(text.data(), text.data() + text.size(), exponent);
      if (read.ec != std::errc{}) exponent = text[0] == '-' ? -(1LL << 60) : 1LL << 60;
    }
    is_huge = exponent + static_cast<long long>(point) - static_cast<long long>(first) > 0;
  }
  const double magnitude = is_huge ? std::numeric_limits<double>::infinity() : 0.0;
  return is_negative ? -magnitude : magnitude;
}

// float.__repr__: shortest digits that read back the same; an exponent below 1e-4 and from 1e16.
std::string python_repr(double value) {
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<std::size_t>(end.ptr - buffer));
  const std::size_t e = text.find('e');
  int exponent = 0;
  const std::size_t sign = text[e + 1] == '+' ? 1 : 0;
  std::from_chars(text.data() + e + 1 + sign, text.data() + text.size(), exponent);
  std::string digits;
  for (char c : text.substr(0, e)) {
    if (is_digit(c)) digits.push_back(c);
  }
  std::string out = text[0] == '-' ? "-" : "";
  const int n = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (n > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  if (n <= exponent + 1)
    return out + digits + std::string(static_cast<std::size_t>(exponent + 1 - n), '0') + ".0";
  const auto point = static_cast<std::size_t>(exponent + 1);
  return out + digits.substr(0, point) + "." + digits.substr(point);
}

class Rewriter {
 public:
  Rewriter(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  std::string run() {
    if (const std::size_t at = find_invalid_utf8(text_); at != std::string_view::npos) {
      at_ = at;
      fail_here("bytes that are not UTF-8");
    }
    std::string out;
    value(out, 0);
    skip_space();
    if (at_ != text_.size()) fail_here("more text after the value");
    return out;
  }

 private:
  [[noreturn]] void fail_here(std::string_view found) const {
    fail(ErrorKind::bad_request, "{}: {} at byte {}, expected a JSON value", where_, found, at_);
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    while (at_ < text_.size() &&
           (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) {
      ++at_;
    }
  }

  // Skips space, then `c` if it is next.
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void value(std::string& out, int depth) {
    if (depth > kMaxDepth) fail_here(fmt::format("nesting deeper than {}", kMaxDepth));
    if (take('{')) return object(out, depth);
    if (take('[')) return array(out, depth);
    if (take('"')) return write_string(read_string(), out);
    for (std::string_view word : {"true", "false", "null"}) {
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        out += word;
        return;
      }
    }
    if (peek() == '-' || is_digit(peek())) return number(out);
    fail_here(at_ < text_.size() ? "something else" : "the end");
  }

  void object(std::string& out, int depth) {
    std::vector<std::pair<std::string, std::string>> members;
    std::unordered_map<std::string, std::size_t> index;
    if (!take('}')) {
      do {
        if (!take('"')) fail_here("no key of an object");
        std::string key = read_string();
        if (!take(':')) fail_here("no ':' after a key");
        std::string content;
        value(content, depth + 1);
        const auto [place, is_new] = index.emplace(key, members.size());
        if (is_new) members.emplace_back(std::move(key), std::string());
        members[place->second].second = std::move(content);
      } while (take(','));
      if (!take('}')) fail_here("no ',' or '}' in an object");
    }
    out += '{';
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (i > 0) out += ", ";
      write_string(members[i].first, out);
      out += ": ";
      out += members[i].second;
    }
    out += '}';
  }

  void array(std::string& out, int depth) {
    out += '[';
    if (take(']')) {
      out += ']';
      return;
    }
    while (true) {
      value(out, depth + 1);
      if (!take(',')) break;
      out += ", ";
    }
    if (!take(']')) fail_here("no ',' or ']' in an array");
    out += ']';
  }

  std::size_t take_digits() {
    const std::size_t begin = at_;
    while (is_digit(peek())) ++at_;
    return at_ - begin;
  }

  void number(std::string& out) {
    const std::size_t begin = at_;
    if (peek() == '-') ++at_;
    const bool is_zero = peek() == '0';
    const std::size_t n_digits = take_digits();
    if (n_digits == 0 || (is_zero && n_digits > 1)) fail_here("a malformed number");
    bool is_integer = true;
    if (peek() == '.') {
      ++at_;
      is_integer = false;
      if (take_digits() == 0) fail_here("a malformed number");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      is_integer = false;
      if (peek() == '+' || peek() == '-') ++at_;
      if (take_digits() == 0) fail_here("a malformed number");
    }
    const std::string_view digits = text_.substr(begin, at_ - begin);
    if (!is_integer) {
      out += python_repr(parse_double(digits));
    } else if (n_digits > kMaxIntegerDigits) {
      fail_here(fmt::format("an integer of {} digits", n_digits));
    } else {
      out += digits == "-0" ? "0" : digits;
    }
  }

  // The content of a string whose opening quote has been taken.
  std::string read_string() {
    std::string out;
    while (true) {
      if (at_ >= text_.size()) fail_here("the end inside a string");
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) fail_here("a control character inside a string");
      ++at_;
      if (c == '"') return out;
      if (c == '\\') {
        read_escape(out);
      } else {
        out.push_back(c);
      }
    }
  }

  void read_escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
    const char name = peek();
    ++at_;
    if (name == 'u') {
      append_utf8(out, read_code_point());
    } else if (const std::size_t i = kNames.find(name); i != std::string_view::npos) {
      out.push_back(kValues[i]);
    } else {
      fail_here("an unknown escape inside a string");
    }
  }

  char32_t read_code_point() {
    const std::uint32_t unit = read_hex4();
    if (unit < 0xD800 || unit > 0xDFFF) return unit;
    if (unit <= 0xDBFF && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      const std::uint32_t low = read_hex4();
      if (low >= 0xDC00 && low <= 0xDFFF) return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    fail_here("half a surrogate pair inside a string");
  }

  std::uint32_t read_hex4() {
    std::uint32_t value = 0;
    const std::string_view digits = text_.substr(std::min(at_, text_.size()), 4);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 4 || result.ptr != digits.data() + 4) fail_here("a malformed \\u escape");
    at_ += 4;
    return value;
  }

  static void write_string(std::string_view text, std::string& out) {
    constexpr std::string_view kSpecial = "\"\\\b\f\n\r\t", kNames = "\"\\bfnrt";
    out += '"';
    for (char c : text) {
      if (const std::size_t i = kSpecial.find(c); i != std::string_view::npos) {
        out += '\\';
        out += kNames[i];
      } else if (static_cast<unsigned char>(c) < 0x20) {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(c));
      } else {
        out += c;
      }
    }
    out += '"';
  }

  std::string_view text_, where_;
  std::size_t at_ = 0;
};

}  // namespace

std::string python_json(std::string_view json, std::string_view where) {
  return Rewriter(json, where).run();
}

}  // namespace qwenvl
