// The GGUF container: metadata and named tensors in one file, little-endian.
// Before: mapped_file.cpp maps the file.   After: names.cpp and texts.cpp say what it means.
// Foreign bytes: every number is checked before it is used, and nothing is copied but names.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/gguf/blocks.h"
#include "core/tensor.h"

namespace qwenvl {

enum class GgufType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  text = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

// A value of the metadata, still in the file; its extent has been walked and lies inside.
struct GgufValue {
  GgufType type;  // of the elements, when it is a list
  bool is_list = false;
  std::uint64_t count = 1;           // elements
  std::span<const std::byte> bytes;  // the elements, without the list's own header
};

// Values by key, each checked when it is asked for. All throw bad_file naming the key when it is
// there with another type or outside the limits; nothing (or false) when it is absent.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string where) : where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  bool has(const std::string& key) const { return values_.contains(key); }
  std::size_t size() const { return values_.size(); }
  std::optional<std::int64_t> integer(const std::string& key, std::int64_t low,
                                      std::int64_t high) const;
  // A float32 comes as the number its shortest decimal form means: 1e-06, not 9.99999997e-07.
  std::optional<double> number(const std::string& key, double low, double high) const;
  std::optional<bool> boolean(const std::string& key) const;
  std::optional<std::string> text(const std::string& key) const;
  std::optional<std::vector<std::int64_t>> integers(const std::string& key, std::int64_t low,
                                                    std::int64_t high) const;
  std::optional<std::vector<double>> numbers(const std::string& key, double low, double high) const;
  // Calls back with each text of a list, in order; they point into the file.
  bool each_text(const std::string& key,
                 const std::function<void(std::size_t i, std::string_view text)>& use) const;
  // How many elements the list under `key` has; 0 when there is none.
  std::size_t length_of_list(const std::string& key) const;

  template <class T>
  T required(const std::string& key, std::optional<T> value) const {
    if (!value) fail(ErrorKind::bad_file, "{}: the metadata lacks {}", where_, quoted(key));
    return *value;
  }

 private:
  friend class GgufReader;
  const GgufValue* find(const std::string& key) const;
  [[noreturn]] void wrong(const std::string& key, const std::string& expected) const;

  std::string where_;
  std::map<std::string, GgufValue> values_;
};

struct GgufTensor {
  const GgufBlockType* type;
  Shape shape;                       // outermost first: the file lists the fastest dimension first
  std::span<const std::byte> bytes;  // inside the mapped file
};

struct GgufFile {
  GgufMetadata metadata;
  std::map<std::string, GgufTensor> tensors;
};

// `where` names the file in messages. Throws bad_file: not GGUF, truncated, counts the file cannot
// hold, unknown types, impossible shapes, tensors that overlap, leave gaps or pass the end; throws
// unsupported: version 1, big-endian files, one part of a split file.
GgufFile parse_gguf(std::span<const std::byte> file, const std::string& where);

}  // namespace qwenvl
