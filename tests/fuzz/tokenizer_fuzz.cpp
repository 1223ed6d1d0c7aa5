// libFuzzer target for everything in src/text that takes foreign bytes. The first byte chooses what
// the rest is given to; only qwenvl::Error may come out, and what comes back must agree with
// itself.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "fuzz/outcome.h"
#include "text/chat_template.h"
#include "text/small_tokenizer.h"
#include "text/tokenizer/detokenizer.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/tokenizer_tables.h"
#include "text/tokenizer/unicode.h"

namespace {

using namespace qwenvl;
using fuzz::require;

const Tokenizer& small_tokenizer() {
  static const Tokenizer tokenizer =
      Tokenizer::from_tokenizer_json(testing::small_tokenizer_json().dump(), "small");
  return tokenizer;
}

void encode_and_decode(std::string_view text) {
  const Tokenizer& tokenizer = small_tokenizer();
  const std::vector<TokenId> ids = tokenizer.encode(text, SpecialTokens::as_text);
  require(tokenizer.decode(ids, true) == to_nfc(text));
  // With special tokens read, only the text between them is composed.
  const std::vector<TokenId> parsed = tokenizer.encode(text, SpecialTokens::parse);
  require(to_nfc(tokenizer.decode(parsed, false)) == to_nfc(text));
  const TextRange half{0, text.size() / 2};
  tokenizer.encode_mixed(text, std::span(&half, 1));
}

// Ids (any bytes) after a stop string of up to 15 bytes.
void stream(std::string_view input) {
  const Tokenizer& tokenizer = small_tokenizer();
  const std::size_t n_stop =
      std::min<std::size_t>(input.empty() ? 0 : input[0] & 15, input.size() / 2);
  std::vector<std::string> stops;
  if (n_stop > 0) stops.emplace_back(input.substr(1, n_stop));
  std::vector<TokenId> ids;
  for (unsigned char byte : input.substr(n_stop)) ids.push_back(byte + (byte & 15) - 4);
  for (bool skip_special : {false, true}) {
    Detokenizer detokenizer(tokenizer, stops, skip_special);
    std::string text;
    for (TokenId id : ids) text += detokenizer.push(id);
    text += detokenizer.finish();
    require(find_invalid_utf8(text) == std::string_view::npos);
    const std::string whole = tokenizer.decode(ids, skip_special);
    require(detokenizer.is_stopped() ==
            (!stops.empty() && whole.find(stops[0]) != std::string::npos));
    require(detokenizer.is_stopped() ? text == whole.substr(0, whole.find(stops[0]))
                                     : text == whole);
  }
}

void rewrite_json(std::string_view text) {
  const std::string once = python_json(text, "fuzz");
  // Infinity is what Python writes for a number that is too large, and is not JSON.
  if (once.find("Infinity") == std::string::npos) require(python_json(once, "fuzz") == once);
}

void render(std::string_view text) {
  TemplateMessage user{"user", {{TemplatePart::Kind::text, std::string(text)}}, {}};
  const auto pieces = render_chat({user}, {});
  encode_chat(small_tokenizer(), pieces, SpecialTokens::as_text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t half = input.size() / 2;
  try {
    switch (data[0] % 8) {
      case 0: encode_and_decode(input); break;
      case 1: stream(input); break;
      case 2: rewrite_json(input); break;
      case 3: render(input); break;
      case 4: read_added_tokens(input.substr(0, half), input.substr(half), "fuzz"); break;
      case 5:
        Tokenizer::from_vocab_and_merges(input.substr(0, half), input.substr(half), {}, "fuzz");
        break;
      default: Tokenizer::from_tokenizer_json(input, "fuzz"); break;
    }
  } catch (const Error& error) {
    require(error.kind() != ErrorKind::internal);
  }
  return 0;
}
