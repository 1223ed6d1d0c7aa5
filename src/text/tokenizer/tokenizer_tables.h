// What a tokenizer file says, and the compact tables that encoding and decoding look things up in.
// Before: tokenizer_file.cpp reads the files.   After: tokenizer.cpp encodes and decodes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/tokenizer.h"

namespace qwenvl {

// The contents of tokenizer.json or vocab.json + merges.txt, not yet checked against each other.
// Texts lie one after the other in one string: a vocabulary has 150 000 of them.
struct TokenizerSource {
  struct Word {
    std::uint32_t begin, n_bytes;
    TokenId id;
  };
  struct Merge {
    std::uint32_t begin, n_left_bytes, n_right_bytes;
  };
  std::string texts;
  std::vector<Word> words;
  std::vector<Merge> merges;  // in order of rank
  std::vector<AddedToken> added;
  bool has_nfc = true;
  std::string where;

  void add_word(std::string_view text, TokenId id);
  void add_merge(std::string_view left, std::string_view right);
  std::string_view text_of(const Word& word) const {
    return std::string_view(texts).substr(word.begin, word.n_bytes);
  }
};

// Strings by id, in one piece of memory.
class StringTable {
 public:
  std::int32_t size() const { return static_cast<std::int32_t>(ends_.size()); }
  std::string_view operator[](std::int32_t i) const {
    const std::uint32_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }
  void push_back(std::string_view text) {
    bytes_ += text;
    ends_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  }

 private:
  std::string bytes_;
  std::vector<std::uint32_t> ends_;
};

// Text → id over a StringTable: open addressing, four bytes a slot.
class StringIndex {
 public:
  void reserve(std::size_t n_strings);
  // False when an equal string is there already.
  bool insert(const StringTable& strings, std::int32_t i);
  std::int32_t find(const StringTable& strings, std::string_view text) const;  // -1: absent

 private:
  std::vector<std::int32_t> slots_;
  std::size_t slot_of(const StringTable& strings, std::string_view text) const;
};

// (left id, right id) → rank and merged id: open addressing.
class MergeTable {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  struct Merged {
    std::uint32_t rank = kNone;  // kNone: the pair does not merge
    TokenId id = -1;
  };
  void reserve(std::size_t n_merges);
  bool insert(TokenId left, TokenId right, Merged merged);  // false: there already
  Merged find(TokenId left, TokenId right) const;

 private:
  struct Slot {
    TokenId left = -1, right = -1;
    Merged merged;
  };
  std::vector<Slot> slots_;
  std::size_t slot_of(TokenId left, TokenId right) const;
};

// Finds the longest added token at a place of a text.
class AddedTokenFinder {
 public:
  void add(std::string text, TokenId id);
  void finish();
  struct Match {
    std::size_t begin, end;
    TokenId id;
  };
  // The leftmost, and there the longest, match inside text[begin, end); id -1: none.
  Match find(std::string_view text, std::size_t begin, std::size_t end) const;
  bool empty() const { return tokens_.empty(); }

 private:
  struct Token {
    std::string text;
    TokenId id;
  };
  std::vector<Token> tokens_;  // sorted by text
  std::array<bool, 256> can_begin_{};
};

struct TokenizerTables {
  StringTable texts;  // as written in the file, by id
  StringTable bytes;  // as decoded, by id
  StringIndex ids;
  std::array<TokenId, 256> byte_ids{};
  MergeTable merges;
  std::vector<AddedToken> added;
  std::vector<bool> is_special;
  AddedTokenFinder raw_added, normalized_added;
  bool has_nfc = true;
};

struct Tokenizer::Tables : TokenizerTables {};

// Checks the source completely and builds the tables. Throws bad_file.
TokenizerTables build_tables(const TokenizerSource& source);

// Reads files into a source; throws bad_file or unsupported.
TokenizerSource read_tokenizer_json(std::string_view json, const std::string& where);
TokenizerSource read_vocab_and_merges(std::string_view vocab_json, std::string_view merges,
                                      const std::string& where);
// Added tokens of a folder without tokenizer.json; either text may be empty (no such file).
std::vector<AddedToken> read_added_tokens(std::string_view tokenizer_config_json,
                                          std::string_view added_tokens_json,
                                          const std::string& where);

// The text of a token, out of the printable byte alphabet: the bytes it stands for. Text with a
// character outside of the alphabet stands for itself, as in the reference's decoder.
std::string bytes_of_token_text(std::string_view text);
// The printable character (UTF-8) that stands for a byte.
std::string text_of_byte(unsigned char byte);

}  // namespace qwenvl
