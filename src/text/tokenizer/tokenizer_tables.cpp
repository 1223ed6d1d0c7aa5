// The source of a tokenizer, checked and turned into compact tables.
// Before: tokenizer_file.cpp reads the files.   After: tokenizer.cpp looks things up.
#include "text/tokenizer/tokenizer_tables.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "core/check.h"
#include "text/tokenizer/unicode.h"

namespace qwenvl {
namespace {

// An added token is compared at every place of a text where it could begin.
constexpr std::size_t kMaxAddedTokenBytes = 1024;

// Printable bytes stand for themselves, the others for U+0100, U+0101, … in order.
bool is_printable(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct ByteAlphabet {
  std::array<char32_t, 256> character_of;
  std::array<int, 0x144> byte_of;  // -1: not in the alphabet

  ByteAlphabet() {
    byte_of.fill(-1);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      character_of[byte] = is_printable(byte) ? byte : next++;
      byte_of[character_of[byte]] = static_cast<int>(byte);
    }
  }
};

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

// At most two thirds are taken.
std::size_t slots_for(std::size_t n) { return std::bit_ceil(std::max<std::size_t>(n, 4) * 3 / 2); }

std::size_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return static_cast<std::size_t>(x ^ (x >> 31));
}

// Every id below n exactly once: the file's words in the order of their ids.
std::vector<std::string_view> texts_by_id(const TokenizerSource& source) {
  TokenId largest = -1;
  for (const auto& word : source.words) largest = std::max(largest, word.id);
  std::size_t n_new = 0;
  for (const AddedToken& token : source.added) n_new += token.id > largest;
  const std::size_t n = source.words.size() + n_new;

  std::vector<std::string_view> texts(n);
  std::vector<bool> is_taken(n, false);
  const auto place = [&](std::string_view text, TokenId id) {
    if (id < 0 || static_cast<std::size_t>(id) >= n) {
      fail(ErrorKind::bad_file, "{}: token {} has id {}, expected ids 0 to {} without gaps",
           source.where, quoted(text, 40), id, n - 1);
    }
    if (is_taken[id]) {
      fail(ErrorKind::bad_file, "{}: tokens {} and {} both have id {}", source.where,
           quoted(texts[id], 40), quoted(text, 40), id);
    }
    is_taken[id] = true;
    texts[id] = text;
  };
  for (const auto& word : source.words) place(source.text_of(word), word.id);
  const std::vector<bool> is_word = is_taken;
  for (const AddedToken& token : source.added) {
    // An added token may repeat an entry of the vocabulary, word for word.
    const bool is_repeated = token.id >= 0 && static_cast<std::size_t>(token.id) < n &&
                             is_word[token.id] && texts[token.id] == token.text;
    if (!is_repeated) place(token.text, token.id);
  }
  return texts;
}

void add_texts(const TokenizerSource& source, TokenizerTables& tables) {
  const std::vector<std::string_view> texts = texts_by_id(source);
  tables.ids.reserve(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    tables.texts.push_back(texts[i]);
    tables.bytes.push_back(bytes_of_token_text(texts[i]));
    if (!tables.ids.insert(tables.texts, static_cast<std::int32_t>(i))) {
      fail(ErrorKind::bad_file, "{}: token {} appears twice, expected one id for each token",
           source.where, quoted(texts[i], 40));
    }
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::string text = text_of_byte(static_cast<unsigned char>(byte));
    tables.byte_ids[byte] = tables.ids.find(tables.texts, text);
    if (tables.byte_ids[byte] < 0) {
      fail(ErrorKind::bad_file,
           "{}: byte 0x{:02x} ('{}') is not in the vocabulary, expected all 256", source.where,
           byte, text);
    }
  }
}

void add_added_tokens(const TokenizerSource& source, TokenizerTables& tables) {
  tables.added = source.added;
  tables.is_special.assign(tables.texts.size(), false);
  std::vector<bool> is_added(tables.texts.size(), false);
  for (const AddedToken& token : tables.added) {
    if (token.text.empty() || token.text.size() > kMaxAddedTokenBytes) {
      fail(ErrorKind::bad_file, "{}: added token {} has {} bytes, expected 1 to {}", source.where,
           token.id, token.text.size(), kMaxAddedTokenBytes);
    }
    if (is_added[token.id]) {
      fail(ErrorKind::bad_file, "{}: added token {} is listed twice", source.where, token.id);
    }
    is_added[token.id] = true;
    tables.is_special[token.id] = token.special;
    if (token.normalized) {
      tables.normalized_added.add(source.has_nfc ? to_nfc(token.text) : token.text, token.id);
    } else {
      tables.raw_added.add(token.text, token.id);
    }
  }
  tables.raw_added.finish();
  tables.normalized_added.finish();
}

void add_merges(const TokenizerSource& source, TokenizerTables& tables) {
  tables.merges.reserve(source.merges.size());
  const std::string_view all = source.texts;
  const auto id_of = [&](std::string_view text, std::size_t rank) {
    const std::int32_t id = tables.ids.find(tables.texts, text);
    if (id < 0) {
      fail(ErrorKind::bad_file, "{}: merge {} names {}, which is not in the vocabulary",
           source.where, rank, quoted(text, 40));
    }
    return id;
  };
  for (std::size_t rank = 0; rank < source.merges.size(); ++rank) {
    const auto& merge = source.merges[rank];
    const std::string_view both = all.substr(merge.begin, merge.n_left_bytes + merge.n_right_bytes);
    const TokenId left = id_of(both.substr(0, merge.n_left_bytes), rank);
    const TokenId right = id_of(both.substr(merge.n_left_bytes), rank);
    const TokenId result = id_of(both, rank);
    if (!tables.merges.insert(left, right, {static_cast<std::uint32_t>(rank), result})) {
      fail(ErrorKind::bad_file, "{}: merge {} ({} and {}) appears twice", source.where, rank,
           quoted(tables.texts[left], 40), quoted(tables.texts[right], 40));
    }
  }
}

}  // namespace

void TokenizerSource::add_word(std::string_view text, TokenId id) {
  words.push_back(
      {static_cast<std::uint32_t>(texts.size()), static_cast<std::uint32_t>(text.size()), id});
  texts += text;
}

void TokenizerSource::add_merge(std::string_view left, std::string_view right) {
  merges.push_back({static_cast<std::uint32_t>(texts.size()),
                    static_cast<std::uint32_t>(left.size()),
                    static_cast<std::uint32_t>(right.size())});
  texts += left;
  texts += right;
}

void StringIndex::reserve(std::size_t n_strings) { slots_.assign(slots_for(n_strings), -1); }

std::size_t StringIndex::slot_of(const StringTable& strings, std::string_view text) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>{}(text)&mask;
  while (slots_[slot] >= 0 && strings[slots_[slot]] != text) slot = (slot + 1) & mask;
  return slot;
}

bool StringIndex::insert(const StringTable& strings, std::int32_t i) {
  std::int32_t& slot = slots_[slot_of(strings, strings[i])];
  if (slot >= 0) return false;
  slot = i;
  return true;
}

std::int32_t StringIndex::find(const StringTable& strings, std::string_view text) const {
  return slots_[slot_of(strings, text)];
}

void MergeTable::reserve(std::size_t n_merges) { slots_.assign(slots_for(n_merges), {}); }

std::size_t MergeTable::slot_of(TokenId left, TokenId right) const {
  const std::size_t mask = slots_.size() - 1;
  const auto key = (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
                   static_cast<std::uint32_t>(right);
  std::size_t slot = mixed(key) & mask;
  while (slots_[slot].left >= 0 && (slots_[slot].left != left || slots_[slot].right != right)) {
    slot = (slot + 1) & mask;
  }
  return slot;
}

bool MergeTable::insert(TokenId left, TokenId right, Merged merged) {
  Slot& slot = slots_[slot_of(left, right)];
  if (slot.left >= 0) return false;
  slot = {left, right, merged};
  return true;
}

MergeTable::Merged MergeTable::find(TokenId left, TokenId right) const {
  return slots_[slot_of(left, right)].merged;
}

void AddedTokenFinder::add(std::string text, TokenId id) {
  can_begin_[static_cast<unsigned char>(text[0])] = true;
  tokens_.push_back({std::move(text), id});
}

void AddedTokenFinder::finish() {
  std::sort(tokens_.begin(), tokens_.end(),
            [](const Token& a, const Token& b) { return a.text < b.text; });
}

AddedTokenFinder::Match AddedTokenFinder::find(std::string_view text, std::size_t begin,
                                               std::size_t end) const {
  for (std::size_t at = begin; at < end; ++at) {
    if (!can_begin_[static_cast<unsigned char>(text[at])]) continue;
    // Narrow the sorted tokens to those that share a longer and longer prefix with the text.
    auto first = tokens_.begin(), last = tokens_.end();
    Match best{at, at, -1};
    for (std::size_t n = 0; first != last; ++n) {
      if (first->text.size() == n) {  // the shortest sorts first
        best = {at, at + n, first->id};
        ++first;
      }
      if (at + n == end) break;
      const char next = text[at + n];
      const auto less = [n](const Token& token, char c) {
        return static_cast<unsigned char>(token.text[n]) < static_cast<unsigned char>(c);
      };
      const auto greater = [n](char c, const Token& token) {
        return static_cast<unsigned char>(c) < static_cast<unsigned char>(token.text[n]);
      };
      first = std::lower_bound(first, last, next, less);
      last = std::upper_bound(first, last, next, greater);
    }
    if (best.id >= 0) return best;
  }
  return {end, end, -1};
}

TokenizerTables build_tables(const TokenizerSource& source) {
  if (source.words.empty()) fail(ErrorKind::bad_file, "{}: the vocabulary is empty", source.where);
  TokenizerTables tables;
  tables.has_nfc = source.has_nfc;
  add_texts(source, tables);
  add_added_tokens(source, tables);
  add_merges(source, tables);
  return tables;
}

std::string bytes_of_token_text(std::string_view text) {
  const ByteAlphabet& alphabet = byte_alphabet();
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = next_utf8(text, at);
    if (step.status != Utf8Step::Status::valid || step.code_point >= alphabet.byte_of.size() ||
        alphabet.byte_of[step.code_point] < 0) {
      return std::string(text);
    }
    bytes.push_back(static_cast<char>(alphabet.byte_of[step.code_point]));
    at += step.n_bytes;
  }
  return bytes;
}

std::string text_of_byte(unsigned char byte) {
  std::string text;
  append_utf8(text, byte_alphabet().character_of[byte]);
  return text;
}

}  // namespace qwenvl
