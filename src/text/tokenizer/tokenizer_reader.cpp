// The vocabulary and the merges go straight into the source: as a tree of values they would take
// fifty times their size. Everything else is small and becomes a tree with limits.
#include "text/tokenizer/tokenizer_reader.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "core/check.h"

namespace qwenvl {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxTreeValues = 1'000'000;  // outside of the vocabulary and the merges
constexpr std::size_t kMaxTextBytes = std::size_t{1} << 30;

// Builds a tree of everything except the two big tables, which go to the source directly.
class TokenizerReader : public nlohmann::json_sax<Json> {
 public:
  TokenizerReader(TokenizerSource& source, TableLayout layout) : source_(source), layout_(layout) {}

  Json take_tree() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool binary(binary_t&) override { return false; }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::vocabulary) return add(value);
    if (value > static_cast<number_unsigned_t>(std::numeric_limits<TokenId>::max())) {
      fail(ErrorKind::bad_file, "{}: token {} has id {}, expected a small number", source_.where,
           quoted(key_, 40), value);
    }
    source_.add_word(key_, static_cast<TokenId>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::merges) {
      const std::size_t space = value.find(' ');
      if (space == std::string::npos || value.find(' ', space + 1) != std::string::npos) {
        fail(ErrorKind::bad_file, "{}: merge {} is {}, expected two tokens and one space between",
             source_.where, source_.merges.size(), quoted(value, 40));
      }
      add_merge(std::string_view(value).substr(0, space),
                std::string_view(value).substr(space + 1));
      return true;
    }
    if (place_ == Place::merge_pair) {
      pair_.push_back(value);
      if (pair_.size() > 2) fail_at_pair();
      return true;
    }
    return add(value);
  }

  bool start_object(std::size_t) override {
    const bool is_document = layout_ == TableLayout::vocab_json && stack_.empty();
    if ((is_document && place_ == Place::tree) || is_at_table("vocab")) {
      enter(Place::vocabulary, "vocab");
      return true;
    }
    return open(Json::object());
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::merges) {
      place_ = Place::merge_pair;
      pair_.clear();
      return true;
    }
    if (is_at_table("merges")) {
      enter(Place::merges, "merges");
      return true;
    }
    return open(Json::array());
  }

  bool key(string_t& value) override {
    key_ = value;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::vocabulary) {
      place_ = Place::tree;
    } else {
      stack_.pop_back();
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::merge_pair) {
      if (pair_.size() != 2) fail_at_pair();
      add_merge(pair_[0], pair_[1]);
      place_ = Place::merges;
    } else if (place_ == Place::merges) {
      place_ = Place::tree;
    } else {
      stack_.pop_back();
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail(ErrorKind::bad_file, "{}: not valid JSON near byte {}; the file is damaged", source_.where,
         position);
  }

 private:
  enum class Place { tree, vocabulary, merges, merge_pair } place_ = Place::tree;

  // At {"model": {"<name>": …}}
  bool is_at_table(std::string_view name) const {
    return layout_ == TableLayout::tokenizer_json && place_ == Place::tree && stack_.size() == 2 &&
           top_key_ == "model" && stack_[1]->is_object() && key_ == name;
  }

  void enter(Place place, const char* name) {
    if (!seen_.insert(name).second) {
      fail(ErrorKind::bad_file, "{}: '{}' appears twice", source_.where, name);
    }
    if (!stack_.empty()) (*stack_.back())[name] = true;  // present; the content is in the source
    place_ = place;
  }

  Json* add_value(Json value) {
    if (place_ == Place::vocabulary) {
      fail(ErrorKind::bad_file, "{}: token {} has {} as id, expected a whole number ≥ 0",
           source_.where, quoted(key_, 40), value.type_name());
    }
    if (place_ != Place::tree) {
      fail(ErrorKind::bad_file, "{}: merge {} is of type {}, expected \"a b\" or [\"a\", \"b\"]",
           source_.where, source_.merges.size(), value.type_name());
    }
    if (++n_values_ > kMaxTreeValues) {
      fail(ErrorKind::bad_file, "{}: more than {} values, expected a tokenizer", source_.where,
           kMaxTreeValues);
    }
    if (stack_.empty()) return &(root_ = std::move(value));
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    if (stack_.size() == 1) top_key_ = key_;
    if (parent.contains(key_)) {
      fail(ErrorKind::bad_file, "{}: key {} appears twice", source_.where, quoted(key_, 40));
    }
    return &(parent[key_] = std::move(value));
  }

  bool add(Json value) {
    add_value(std::move(value));
    return true;
  }

  bool open(Json container) {
    if (stack_.size() >= kMaxDepth) {
      fail(ErrorKind::bad_file, "{}: nested deeper than {} levels", source_.where, kMaxDepth);
    }
    stack_.push_back(add_value(std::move(container)));
    return true;
  }

  void add_merge(std::string_view left, std::string_view right) {
    if (left.empty() || right.empty()) {
      fail(ErrorKind::bad_file, "{}: merge {} has an empty side", source_.where,
           source_.merges.size());
    }
    source_.add_merge(left, right);
  }

  [[noreturn]] void fail_at_pair() const {
    fail(ErrorKind::bad_file, "{}: merge {} has {} parts, expected 2", source_.where,
         source_.merges.size(), pair_.size());
  }

  TokenizerSource& source_;
  const TableLayout layout_;
  Json root_;
  std::vector<Json*> stack_;  // open objects and arrays; only the last of them grows
  std::string key_, top_key_;
  std::vector<std::string> pair_;
  std::set<std::string> seen_;
  std::size_t n_values_ = 0;
};

}  // namespace

std::string read_tables(std::string_view json, TokenizerSource& source, TableLayout layout) {
  if (json.size() > kMaxTextBytes) {
    fail(ErrorKind::bad_file, "{}: {} bytes, expected at most {}", source.where, json.size(),
         kMaxTextBytes);
  }
  TokenizerReader reader(source, layout);
  Json::sax_parse(json.begin(), json.end(), &reader);
  return reader.take_tree().dump();
}

}  // namespace qwenvl
