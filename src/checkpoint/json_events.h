// The base of the two streaming JSON readers of this folder (safetensors headers and shard
// indexes).
//
// Foreign headers can be a hundred megabytes long, so no tree of them is built: the JSON library
// calls one function per event and the reader derived from this class accepts the few it expects.
// Everything it does not override is refused with the place in the file. Nesting is bounded here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"

namespace qwenvl {

class JsonEvents {
 public:
  static constexpr int kMaxDepth = 16;

  // `where` names the file; `what` the part of it that is JSON ("header", "index").
  JsonEvents(std::string_view where, std::string_view what) : where_(where), what_(what) {}

  bool null() { return refuse("null"); }
  bool boolean(bool) { return refuse("a boolean"); }
  bool number_integer(std::int64_t) { return refuse("a negative number"); }
  bool number_unsigned(std::uint64_t) { return refuse("a number"); }
  bool number_float(double, const std::string&) { return refuse("a fraction"); }
  bool string(std::string&) { return refuse("a string"); }
  bool binary(std::vector<std::uint8_t>&) { return refuse("bytes"); }
  bool key(std::string&) { return refuse("a key"); }
  bool start_object(std::size_t) { return refuse("an object"); }
  bool end_object() { return true; }
  bool start_array(std::size_t) { return refuse("an array"); }
  bool end_array() { return true; }

  template <class ParseError>
  bool parse_error(std::size_t position, const std::string&, const ParseError&) {
    fail(ErrorKind::bad_file, "{}: the {} is not valid JSON at its byte {}; the file is damaged",
         where_, what_, position);
  }

 protected:
  ~JsonEvents() = default;

  void enter() {
    if (++depth_ > kMaxDepth) {
      fail(ErrorKind::bad_file, "{}: the {} is nested more than {} deep", where_, what_, kMaxDepth);
    }
  }
  void leave() { --depth_; }
  int depth() const { return depth_; }

  // What is being read, for messages: the derived reader keeps it up to date.
  std::string place_;

  [[noreturn]] bool refuse(std::string_view found) const {
    fail(ErrorKind::bad_file, "{}: the {} holds {} {}, where none is expected", where_, what_,
         found, place_.empty() ? "outside any entry" : "in " + quoted(place_));
  }

  std::string_view where_;
  std::string_view what_;

 private:
  int depth_ = 0;
};

}  // namespace qwenvl
