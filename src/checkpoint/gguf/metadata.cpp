// Values of GGUF metadata, each checked when it is asked for.
// Before: gguf.cpp walked them.   After: names.cpp and texts.cpp.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "checkpoint/gguf/gguf.h"
#include "core/check.h"

namespace qwenvl {
namespace {

constexpr std::size_t kMaxListed = 1 << 20;  // of numbers; long lists are read in place

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Element i as an integer; nothing when the type is none, or it does not fit.
std::optional<std::int64_t> integer_at(const GgufValue& value, std::size_t i) {
  const std::byte* data = value.bytes.data();
  switch (value.type) {
    case GgufType::u8: return load<std::uint8_t>(data + i);
    case GgufType::i8: return load<std::int8_t>(data + i);
    case GgufType::u16: return load<std::uint16_t>(data + 2 * i);
    case GgufType::i16: return load<std::int16_t>(data + 2 * i);
    case GgufType::u32: return load<std::uint32_t>(data + 4 * i);
    case GgufType::i32: return load<std::int32_t>(data + 4 * i);
    case GgufType::i64: return load<std::int64_t>(data + 8 * i);
    case GgufType::u64: {
      const auto wide = load<std::uint64_t>(data + 8 * i);
      if (wide > static_cast<std::uint64_t>(INT64_MAX)) return {};
      return static_cast<std::int64_t>(wide);
    }
    default: return {};
  }
}

// Writers hold most fractions as float32 of a short decimal number, which is what they mean.
double shortest(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

std::optional<double> number_at(const GgufValue& value, std::size_t i) {
  double number = 0;
  if (value.type == GgufType::f32) {
    const auto narrow = load<float>(value.bytes.data() + 4 * i);
    if (!std::isfinite(narrow)) return {};
    number = shortest(narrow);
  } else if (value.type == GgufType::f64) {
    number = load<double>(value.bytes.data() + 8 * i);
  } else if (const auto whole = integer_at(value, i)) {
    number = static_cast<double>(*whole);
  } else {
    return {};
  }
  if (!std::isfinite(number)) return {};
  return number;
}

}  // namespace

const GgufValue* GgufMetadata::find(const std::string& key) const {
  const auto at = values_.find(key);
  return at == values_.end() ? nullptr : &at->second;
}

void GgufMetadata::wrong(const std::string& key, const std::string& expected) const {
  fail(ErrorKind::bad_file, "{}: metadata {} is not {}", where_, quoted(key), expected);
}

std::optional<std::int64_t> GgufMetadata::integer(const std::string& key, std::int64_t low,
                                                  std::int64_t high) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  const auto number = value->is_list ? std::nullopt : integer_at(*value, 0);
  if (!number || *number < low || *number > high) {
    wrong(key, fmt::format("a whole number from {} to {}", low, high));
  }
  return number;
}

std::optional<double> GgufMetadata::number(const std::string& key, double low, double high) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  const auto number = value->is_list ? std::nullopt : number_at(*value, 0);
  if (!number || !(*number >= low && *number <= high)) {
    wrong(key, fmt::format("a number from {} to {}", low, high));
  }
  return number;
}

std::optional<bool> GgufMetadata::boolean(const std::string& key) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  if (value->is_list || value->type != GgufType::boolean || value->bytes[0] > std::byte{1}) {
    wrong(key, "true or false");
  }
  return value->bytes[0] == std::byte{1};
}

std::optional<std::string> GgufMetadata::text(const std::string& key) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  if (value->is_list || value->type != GgufType::text) wrong(key, "a text");
  return std::string(reinterpret_cast<const char*>(value->bytes.data()) + 8,
                     value->bytes.size() - 8);
}

std::optional<std::vector<std::int64_t>> GgufMetadata::integers(const std::string& key,
                                                                std::int64_t low,
                                                                std::int64_t high) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  const std::string expected = fmt::format("a list of whole numbers from {} to {}", low, high);
  if (!value->is_list || value->count > kMaxListed) wrong(key, expected);
  std::vector<std::int64_t> numbers;
  for (std::size_t i = 0; i < value->count; ++i) {
    const auto number = integer_at(*value, i);
    if (!number || *number < low || *number > high) wrong(key, expected);
    numbers.push_back(*number);
  }
  return numbers;
}

std::optional<std::vector<double>> GgufMetadata::numbers(const std::string& key, double low,
                                                         double high) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  const std::string expected = fmt::format("a list of numbers from {} to {}", low, high);
  if (!value->is_list || value->count > kMaxListed) wrong(key, expected);
  std::vector<double> numbers;
  for (std::size_t i = 0; i < value->count; ++i) {
    const auto number = number_at(*value, i);
    if (!number || !(*number >= low && *number <= high)) wrong(key, expected);
    numbers.push_back(*number);
  }
  return numbers;
}

bool GgufMetadata::each_text(
    const std::string& key,
    const std::function<void(std::size_t i, std::string_view text)>& use) const {
  const GgufValue* value = find(key);
  if (!value) return false;
  if (!value->is_list || value->type != GgufType::text) wrong(key, "a list of texts");
  const std::byte* at = value->bytes.data();
  for (std::size_t i = 0; i < value->count; ++i) {
    const auto n = static_cast<std::size_t>(load<std::uint64_t>(at));
    use(i, {reinterpret_cast<const char*>(at) + 8, n});
    at += 8 + n;
  }
  return true;
}

std::size_t GgufMetadata::length_of_list(const std::string& key) const {
  const GgufValue* value = find(key);
  return value && value->is_list ? static_cast<std::size_t>(value->count) : 0;
}

}  // namespace qwenvl
