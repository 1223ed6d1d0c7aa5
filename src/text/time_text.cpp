// Times of answers. Before and after: time_spans.cpp.
#include "text/time_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/mark_bytes.h"

namespace qwenvl {
namespace {

using namespace mark_bytes;

constexpr std::size_t kMaxDigits = 12;
constexpr double kMaxSeconds = 1e9;  // beyond that it is no time of a video

struct Unit {
  std::string_view name;
  double seconds;
  bool is_letter = false;  // means other things, too, unless a smaller unit follows
};

// Longer names before their beginnings.
constexpr Unit kUnits[] = {
    {"hours", 3600}, {"hour", 3600}, {"hrs", 3600}, {"hr", 3600}, {"h", 3600, true},
    {"minutes", 60}, {"minute", 60}, {"mins", 60},  {"min", 60},  {"m", 60, true},
    {"seconds", 1},  {"second", 1},  {"secs", 1},   {"sec", 1},   {"s", 1},
    {"小时", 3600},  {"分钟", 60},   {"分", 60},    {"秒钟", 1},  {"秒", 1},
};

// Digits, and a fraction behind `point`; where they end is left in `at`.
std::optional<double> number(std::string_view text, std::size_t& at, std::string_view points) {
  std::size_t end = at;
  while (end < text.size() && is_digit(text[end])) ++end;
  if (end == at || end - at > kMaxDigits) return {};
  double value = 0;
  std::from_chars(text.data() + at, text.data() + end, value);
  const bool has_fraction =
      end + 1 < text.size() && points.find(text[end]) != points.npos && is_digit(text[end + 1]);
  if (has_fraction) {
    double scale = 1;
    for (++end; end < text.size() && is_digit(text[end]); ++end)
      value += (text[end] - '0') * (scale /= 10);
  }
  at = end;
  return value;
}

// Two digits below 60 at `at`, and no third.
std::optional<int> sixtieth(std::string_view text, std::size_t at) {
  if (at + 2 > text.size() || !is_digit(text[at]) || !is_digit(text[at + 1])) return {};
  if (at + 2 < text.size() && is_digit(text[at + 2])) return {};
  const int value = (text[at] - '0') * 10 + (text[at + 1] - '0');
  return value < 60 ? std::optional(value) : std::nullopt;
}

// "02:05", "1:02:05.50". A fourth part is no known time.
std::optional<WrittenTime> clock_at(std::string_view text, const std::size_t begin) {
  std::size_t at = begin;
  const std::optional<double> first = number(text, at, "");
  if (!first || at == text.size() || text[at] != ':') return {};
  const std::optional<int> second = sixtieth(text, at + 1);
  if (!second) return {};
  at += 3;
  double seconds = *first * 60 + *second;
  if (at < text.size() && text[at] == ':') {
    const std::optional<int> third = sixtieth(text, at + 1);
    if (!third) return {};
    seconds = seconds * 60 + *third;
    at += 3;
  }
  if (at + 1 < text.size() && (text[at] == '.' || text[at] == ',') && is_digit(text[at + 1])) {
    double scale = 1;
    for (++at; at < text.size() && is_digit(text[at]); ++at)
      seconds += (text[at] - '0') * (scale /= 10);
  }
  if (at < text.size() && (text[at] == ':' || text[at] == '_' ||
                           std::isalpha(static_cast<unsigned char>(text[at])) != 0)) {
    return {};
  }
  return WrittenTime{seconds, begin, at, true, true, 1};
}

std::size_t skip_blanks(std::string_view text, std::size_t at) {
  while (at < text.size() && is_blank(text[at])) ++at;
  return at;
}

// The unit at `at`, if no letter goes on from it.
const Unit* unit_at(std::string_view text, std::size_t at) {
  for (const Unit& unit : kUnits) {
    if (text.substr(at, unit.name.size()) != unit.name) continue;
    const std::size_t end = at + unit.name.size();
    const bool is_ascii = static_cast<unsigned char>(unit.name[0]) < 0x80;
    const bool goes_on =
        is_ascii && end < text.size() &&
        (std::isalpha(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_');
    if (!goes_on) return &unit;
  }
  return nullptr;
}

}  // namespace

std::optional<WrittenTime> written_time(std::string_view text, const std::size_t begin) {
  if (begin >= text.size() || !is_digit(text[begin])) return {};
  if (begin > 0 && (is_digit(text[begin - 1]) || text[begin - 1] == ':')) return {};
  const auto clock = clock_at(text, begin);
  if (clock) return clock->seconds <= kMaxSeconds ? clock : std::nullopt;

  WrittenTime time{0, begin, begin, false, false, kMaxSeconds};
  // Numbers with ever smaller units: "1 min 5 s".
  for (std::size_t at = begin;;) {
    const std::optional<double> value = number(text, at, ".");
    if (!value) break;
    const std::size_t unit_begin = skip_blanks(text, at);
    const Unit* unit = unit_at(text, unit_begin);
    if (!unit) {
      if (time.has_unit) break;
      const bool is_part = at < text.size() && (is_name_byte(text[at]) && text[at] != '-');
      const bool is_colon = at + 1 < text.size() && text[at] == ':' && is_digit(text[at + 1]);
      if (is_part || is_colon) return {};
      time.seconds = *value;
      time.end = at;
      break;
    }
    if (time.has_unit && unit->seconds >= time.unit_seconds) break;
    const std::size_t unit_end = unit_begin + unit->name.size();
    std::size_t next = skip_blanks(text, unit_end);
    if (text.substr(next, 4) == "and ") next = skip_blanks(text, next + 4);
    const bool has_more = next < text.size() && is_digit(text[next]);
    if (unit->is_letter && !has_more) return {};
    time.seconds += *value * unit->seconds;
    time.has_unit = true;
    time.unit_seconds = unit->seconds;
    time.end = unit_end;
    at = next;
  }
  if (time.end == begin || time.seconds > kMaxSeconds) return {};
  if (!time.has_unit) time.unit_seconds = 1;
  return time;
}

std::optional<WrittenTime> whole_time(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  const std::optional<WrittenTime> time = written_time(text, 0);
  return time && time->end == text.size() ? time : std::nullopt;
}

}  // namespace qwenvl
