// Reads the index of a sharded checkpoint. Before: core reads the file. After: checkpoint.cpp opens
// the shards and compares them with the index.
//
//   {"metadata": {"total_size": 7509245952}, "weight_map": {"lm_head.weight":
//   "model-….safetensors"}}
#include "checkpoint/shard_index.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/json_events.h"
#include "core/check.h"

namespace qwenvl {
namespace {

// A file below the folder: relative, and never upwards. Links are followed later, as the standard
// cache stores every file as a link.
bool is_inside(std::string_view name) {
  if (name.empty() || name.front() == '/' || name.find('\0') != name.npos) return false;
  if (name.find('\\') != name.npos) return false;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

// Depth 1 is the index, 2 weight_map or metadata. What other keys hold is skipped: savers add to
// metadata freely.
class IndexReader : public JsonEvents {
 public:
  IndexReader(std::string_view where, ShardIndex& index)
      : JsonEvents(where, "index"), index_(index) {}

  bool has_map() const { return has_map_; }

  bool start_object(std::size_t) {
    if (is_total() || (depth() == 2 && section_ == "weight_map")) refuse("an object");
    if (depth() == 1) has_map_ = has_map_ || section_ == "weight_map";
    enter();
    return true;
  }
  bool end_object() {
    leave();
    return true;
  }
  bool start_array(std::size_t) {
    if (depth() == 0) refuse("an array");
    check_skippable("an array");
    enter();
    return true;
  }
  bool end_array() {
    leave();
    return true;
  }

  bool key(std::string& name) {
    if (depth() > 2) return true;
    if (depth() == 1) {
      if (!sections_.insert(name).second) refuse_duplicate(name);
      section_ = place_ = name;
    } else {
      place_ = name;
      if (section_ == "weight_map" && index_.shard_of.contains(name)) refuse_duplicate(name);
      if (is_total() && index_.total_bytes) refuse_duplicate(name);
    }
    return true;
  }

  bool string(std::string& text) {
    if (depth() == 2 && section_ == "weight_map") {
      if (!is_inside(text) || !text.ends_with(".safetensors")) {
        fail(ErrorKind::bad_file,
             "{}: tensor {} is said to be in {}, expected a .safetensors file inside the folder",
             where_, quoted(place_), quoted(text));
      }
      index_.shard_of.emplace(place_, std::move(text));
      return true;
    }
    return check_skippable("a string");
  }

  bool null() { return check_skippable("null"); }
  bool boolean(bool) { return check_skippable("a boolean"); }
  bool number_integer(std::int64_t) { return check_skippable("a negative number"); }
  bool number_unsigned(std::uint64_t value) {
    if (!is_total()) return check_skippable("a number");
    index_.total_bytes = value;
    return true;
  }
  bool number_float(double value, const std::string& digits) {
    if (!is_total()) return check_skippable("a fraction");
    // Some savers write a float; below 2^53 it is still exact.
    if (!(value >= 0 && value < 0x1p53 && value == std::floor(value))) {
      fail(ErrorKind::bad_file, "{}: total_size is {}, expected a number of bytes", where_,
           quoted(digits, 40));
    }
    index_.total_bytes = static_cast<std::uint64_t>(value);
    return true;
  }

 private:
  bool is_total() const { return depth() == 2 && section_ == "metadata" && place_ == "total_size"; }

  // Values of keys that mean nothing here pass; the map and the total must have their own type.
  bool check_skippable(const char* found) const {
    if (depth() == 0 || is_total() || section_ == "weight_map") refuse(found);
    return true;
  }

  [[noreturn]] void refuse_duplicate(const std::string& name) const {
    fail(ErrorKind::bad_file, "{}: the index has {} twice", where_, quoted(name));
  }

  ShardIndex& index_;
  std::set<std::string> sections_;
  std::string section_;
  bool has_map_ = false;
};

}  // namespace

ShardIndex parse_shard_index(std::string_view text, const std::string& where) {
  ShardIndex index;
  IndexReader reader(where, index);
  nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  if (!reader.has_map() || index.shard_of.empty()) {
    fail(ErrorKind::bad_file,
         "{}: no weight_map, or an empty one; expected tensor names and shards", where);
  }
  return index;
}

}  // namespace qwenvl
