// Byte-level BPE: text → token ids and back.
// Before: chat_template.cpp renders the text.   After: models/…/prompt.cpp lays out the ids.
// Mirrors the tokenizers pipeline: added tokens on the raw text, NFC, pre-tokenisation regex, BPE.
#include "text/tokenizer/tokenizer.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>

#include "core/check.h"
#include "core/mapped_file.h"
#include "text/tokenizer/pretokenizer.h"
#include "text/tokenizer/tokenizer_tables.h"
#include "text/tokenizer/unicode.h"

namespace qwenvl {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20;  // ten times the published file
constexpr std::size_t kMaxScannedBytes = 64;                  // longer pieces use a heap

// Pieces of ordinary length: look for the lowest rank among all pairs, merge it, repeat.
void merge_short(const TokenizerTables& tables, std::string_view piece, std::vector<TokenId>& out) {
  TokenId ids[kMaxScannedBytes];
  MergeTable::Merged pairs[kMaxScannedBytes];  // pairs[i]: what ids[i], ids[i + 1] merge into
  std::size_t n = piece.size();
  for (std::size_t i = 0; i < n; ++i)
    ids[i] = tables.byte_ids[static_cast<unsigned char>(piece[i])];
  for (std::size_t i = 0; i + 1 < n; ++i) pairs[i] = tables.merges.find(ids[i], ids[i + 1]);
  while (n > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < n; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == MergeTable::kNone) break;
    ids[best] = pairs[best].id;
    std::copy(ids + best + 2, ids + n, ids + best + 1);
    if (best + 2 < n) std::copy(pairs + best + 2, pairs + n - 1, pairs + best + 1);
    --n;
    if (best > 0) pairs[best - 1] = tables.merges.find(ids[best - 1], ids[best]);
    if (best + 1 < n) pairs[best] = tables.merges.find(ids[best], ids[best + 1]);
  }
  out.insert(out.end(), ids, ids + n);
}

// Long pieces (a page of one letter): the same order of merges in n log n. Symbols form a linked
// list; heap entries are (rank, position) and stale when the pair there has another rank by now.
class LongPiece {
 public:
  LongPiece(const TokenizerTables& tables, std::string_view piece) : tables_(tables) {
    symbols_.resize(piece.size());
    for (std::uint32_t i = 0; i < symbols_.size(); ++i) {
      symbols_[i].id = tables.byte_ids[static_cast<unsigned char>(piece[i])];
      symbols_[i].previous = i - 1;  // of the first: kEnd
      symbols_[i].next = i + 1 < symbols_.size() ? i + 1 : kEnd;
    }
    for (std::uint32_t i = 0; i < symbols_.size(); ++i) look_up_pair(i);
  }

  void merge(std::vector<TokenId>& out) {
    while (!heap_.empty()) {
      const auto rank = static_cast<std::uint32_t>(heap_.top() >> 32);
      const auto at = static_cast<std::uint32_t>(heap_.top());
      heap_.pop();
      if (symbols_[at].pair.rank == rank) merge_at(at);
    }
    for (std::uint32_t i = 0; i != kEnd; i = symbols_[i].next) out.push_back(symbols_[i].id);
  }

 private:
  static constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();
  struct Symbol {
    TokenId id;
    std::uint32_t previous, next;
    MergeTable::Merged pair;  // with the next symbol
  };

  void look_up_pair(std::uint32_t i) {
    Symbol& symbol = symbols_[i];
    symbol.pair = symbol.next == kEnd ? MergeTable::Merged{}
                                      : tables_.merges.find(symbol.id, symbols_[symbol.next].id);
    if (symbol.pair.rank != MergeTable::kNone) {
      heap_.push((static_cast<std::uint64_t>(symbol.pair.rank) << 32) | i);
    }
  }

  void merge_at(std::uint32_t i) {
    Symbol& symbol = symbols_[i];
    Symbol& gone = symbols_[symbol.next];
    symbol.id = symbol.pair.id;
    symbol.next = gone.next;
    gone.pair = {};
    if (symbol.next != kEnd) symbols_[symbol.next].previous = i;
    look_up_pair(i);
    if (symbol.previous != kEnd) look_up_pair(symbol.previous);
  }

  const TokenizerTables& tables_;
  std::vector<Symbol> symbols_;
  std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> heap_;
};

// Text without added tokens, in NFC.
void encode_words(const TokenizerTables& tables, std::string_view text, std::vector<TokenId>& out) {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = next_piece(text, begin);
    const std::string_view piece = text.substr(begin, end - begin);
    if (piece.size() <= kMaxScannedBytes) {
      merge_short(tables, piece, out);
    } else {
      LongPiece(tables, piece).merge(out);
    }
    begin = end;
  }
}

void require_utf8(std::string_view text) {
  if (text.size() >= std::numeric_limits<std::uint32_t>::max()) {
    fail(ErrorKind::bad_request, "text: {} bytes, expected less than 4 GiB", text.size());
  }
  const std::size_t at = find_invalid_utf8(text);
  if (at == std::string_view::npos) return;
  fail(ErrorKind::bad_request,
       "text: byte 0x{:02x} at offset {} is not valid UTF-8; convert the text to UTF-8",
       static_cast<unsigned char>(text[at]), at);
}

std::string read_if_present(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) ? read_file(path, kMaxFileBytes) : std::string();
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Tables> tables) : tables_(std::move(tables)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_tokenizer_json(std::string_view json, const std::string& where) {
  return Tokenizer(
      std::make_unique<Tables>(Tables{build_tables(read_tokenizer_json(json, where))}));
}

Tokenizer Tokenizer::from_vocab_and_merges(std::string_view vocab_json, std::string_view merges,
                                           std::span<const AddedToken> added,
                                           const std::string& where) {
  TokenizerSource source = read_vocab_and_merges(vocab_json, merges, where);
  for (const AddedToken& token : added) {
    if (find_invalid_utf8(token.text) != std::string_view::npos) {
      fail(ErrorKind::bad_file, "{}: added token {} is not valid UTF-8", where, token.id);
    }
    source.added.push_back(token);
  }
  return Tokenizer(std::make_unique<Tables>(Tables{build_tables(source)}));
}

Tokenizer Tokenizer::from_folder(const std::filesystem::path& folder) {
  std::error_code ignored;
  const auto tokenizer_json = folder / "tokenizer.json";
  if (std::filesystem::exists(tokenizer_json, ignored)) {
    return from_tokenizer_json(read_file(tokenizer_json, kMaxFileBytes), tokenizer_json.string());
  }
  const auto vocab = folder / "vocab.json", merges = folder / "merges.txt";
  if (!std::filesystem::exists(vocab, ignored) || !std::filesystem::exists(merges, ignored)) {
    fail(ErrorKind::bad_file,
         "{}: no tokenizer found, expected tokenizer.json, or vocab.json and merges.txt",
         folder.string());
  }
  const auto added =
      read_added_tokens(read_if_present(folder / "tokenizer_config.json"),
                        read_if_present(folder / "added_tokens.json"), folder.string());
  return from_vocab_and_merges(read_file(vocab, kMaxFileBytes), read_file(merges, kMaxFileBytes),
                               added, folder.string());
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  const TextRange everything{0, text.size()};
  return encode_mixed(text, std::span(&everything, special == SpecialTokens::parse ? 1 : 0));
}

std::vector<TokenId> Tokenizer::encode_mixed(std::string_view text,
                                             std::span<const TextRange> trusted) const {
  require_utf8(text);
  std::vector<TokenId> ids;
  std::size_t done = 0, previous_end = 0;
  for (const TextRange& range : trusted) {
    QWENVL_CHECK(
        previous_end <= range.begin && range.begin <= range.end && range.end <= text.size(),
        "trusted range {} to {} in a text of {} bytes", range.begin, range.end, text.size());
    previous_end = range.end;
    for (std::size_t at = range.begin; at < range.end;) {
      const auto match = tables_->raw_added.find(text, at, range.end);
      if (match.id < 0) break;
      encode_segment(text.substr(done, match.begin - done), done >= range.begin, ids);
      ids.push_back(match.id);
      done = at = match.end;
    }
  }
  const bool is_trusted =
      !trusted.empty() && trusted.back().begin <= done && trusted.back().end == text.size();
  encode_segment(text.substr(done), is_trusted, ids);
  return ids;
}

// Text between two added tokens. Those that are matched after NFC are looked for only where all of
// the segment is trusted: composition may move bytes across the border of a range.
void Tokenizer::encode_segment(std::string_view segment, bool is_trusted,
                               std::vector<TokenId>& ids) const {
  if (segment.empty()) return;
  std::string composed;
  if (tables_->has_nfc) {
    composed = to_nfc(segment);
    segment = composed;
  }
  std::size_t done = 0;
  while (is_trusted && !tables_->normalized_added.empty()) {
    const auto match = tables_->normalized_added.find(segment, done, segment.size());
    if (match.id < 0) break;
    encode_words(*tables_, segment.substr(done, match.begin - done), ids);
    ids.push_back(match.id);
    done = match.end;
  }
  encode_words(*tables_, segment.substr(done), ids);
}

std::string_view Tokenizer::bytes_of(TokenId id) const {
  return id >= 0 && id < size() ? tables_->bytes[id] : std::string_view();
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string bytes;
  for (TokenId id : ids) {
    if (!skip_special || !is_special(id)) bytes += bytes_of(id);
  }
  std::string text;
  append_utf8_lossy(text, bytes);
  return text;
}

bool Tokenizer::is_special(TokenId id) const {
  return id >= 0 && id < size() && tables_->is_special[id];
}

std::optional<TokenId> Tokenizer::id_of(std::string_view token_text) const {
  const std::int32_t id = tables_->ids.find(tables_->texts, token_text);
  return id >= 0 ? std::optional<TokenId>(id) : std::nullopt;
}

std::span<const AddedToken> Tokenizer::added_tokens() const { return tables_->added; }

std::int32_t Tokenizer::size() const { return tables_->texts.size(); }

}  // namespace qwenvl
