// Reading a JSON object field by field, every value checked, every complaint naming its place.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"

namespace qwenvl {

// One object of a JSON document; the document lives as long as any of its objects is looked at.
class JsonFields {
 public:
  // A document of configuration size. `where` names the file in messages. Throws bad_file when the
  // text is not a JSON object, is nested too deep or holds a key twice.
  static JsonFields parse(const std::string& text, const std::string& where);

  const std::string& where() const { return where_; }
  bool has(const char* key) const;  // present and not null

  // The value under `key`; nothing when it is absent or null. Throws bad_file when it is of another
  // type or outside [low, high].
  std::optional<JsonFields> object(const char* key) const;
  std::optional<std::int64_t> integer(const char* key, std::int64_t low, std::int64_t high) const;
  std::optional<double> number(const char* key, double low, double high) const;
  std::optional<bool> boolean(const char* key) const;
  std::optional<std::string> text(const char* key) const;
  std::optional<std::vector<std::string>> texts(const char* key) const;
  // A single integer counts as a list of one when `one_is_enough`.
  std::optional<std::vector<std::int64_t>> integers(const char* key, std::int64_t low,
                                                    std::int64_t high,
                                                    bool one_is_enough = false) const;
  std::optional<std::vector<double>> numbers(const char* key, double low, double high) const;
  // The value as JSON text, whatever it is.
  std::optional<std::string> json(const char* key) const;

  // The value of a field that must be there.
  template <class T>
  T required(const char* key, std::optional<T> value) const {
    if (!value) fail(ErrorKind::bad_file, "{}: '{}' is missing", where_, key);
    return *value;
  }

 private:
  struct Node;  // an object inside its document
  JsonFields(std::shared_ptr<const Node> node, std::string where);
  [[noreturn]] void wrong(const char* key, const std::string& expected) const;

  std::shared_ptr<const Node> node_;
  std::string where_;
};

}  // namespace qwenvl
