// Byte-level BPE of the Qwen2 family: text → token ids and back.
// Before: chat_template.cpp renders the text.   After: models/…/prompt.cpp lays out the ids.
// Mirrors the tokenizers pipeline: added tokens on the raw text, NFC, pre-tokenisation regex, BPE.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qwenvl {

using TokenId = std::int32_t;

struct AddedToken {
  TokenId id;
  std::string text;
  bool special;  // dropped by decode(skip_special); matched atomically in the input either way
  bool normalized = false;  // matched after NFC instead of on the raw text
};

// Bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin;
  std::size_t end;
};

// What special strings inside the text mean.
enum class SpecialTokens {
  parse,    // "<|im_end|>" in the text becomes its token: for text rendered by a trusted template
  as_text,  // every byte is ordinary text: for what users typed
};

class Tokenizer {
 public:
  // From a checkpoint folder: tokenizer.json, or vocab.json + merges.txt (with added tokens from
  // tokenizer_config.json / added_tokens.json when present). Throws bad_file, and unsupported for a
  // tokenizer of another kind.
  static Tokenizer from_folder(const std::filesystem::path& folder);
  static Tokenizer from_tokenizer_json(std::string_view json, const std::string& where);
  static Tokenizer from_vocab_and_merges(std::string_view vocab_json, std::string_view merges,
                                         std::span<const AddedToken> added,
                                         const std::string& where);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Throws bad_request on invalid UTF-8, naming the byte offset.
  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const;
  // The same for a text of several authors: special tokens are read only where they lie entirely
  // inside one of the `trusted` ranges (ascending, disjoint). Everything between two of them is cut
  // and merged as one text, so ordinary text has the ids it has in encode(text, parse).
  std::vector<TokenId> encode_mixed(std::string_view text,
                                    std::span<const TextRange> trusted) const;

  // Bytes of one token, unmapped from the byte alphabet; empty for ids without text (padding rows
  // of the embedding). Not necessarily whole characters.
  std::string_view bytes_of(TokenId id) const;
  // UTF-8 text; invalid sequences become U+FFFD.
  std::string decode(std::span<const TokenId> ids, bool skip_special) const;

  bool is_special(TokenId id) const;                                // an added token marked special
  std::optional<TokenId> id_of(std::string_view token_text) const;  // an added token, or an exact
                                                                    // vocabulary entry ("Ġthe")
  std::span<const AddedToken> added_tokens() const;
  std::int32_t size() const;  // one more than the largest id

 private:
  struct Tables;
  explicit Tokenizer(std::unique_ptr<Tables> tables);
  void encode_segment(std::string_view segment, bool is_trusted, std::vector<TokenId>& ids) const;
  std::unique_ptr<Tables> tables_;
};

}  // namespace qwenvl
