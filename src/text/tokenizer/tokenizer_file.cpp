// tokenizer.json, vocab.json, merges.txt and the files that list added tokens → TokenizerSource.
// Before: bytes of a checkpoint folder, which may hold anything.   After: tokenizer_tables.cpp.
// Mirrors what the tokenizers library reads of these files.
#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "core/check.h"
#include "text/tokenizer/pretokenizer.h"
#include "text/tokenizer/tokenizer_reader.h"
#include "text/tokenizer/tokenizer_tables.h"
#include "text/tokenizer/unicode.h"

namespace qwenvl {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxTextBytes = std::size_t{1} << 30;

// A value that may be absent; both absent and null read as null.
const Json& member(const Json& object, const char* key) {
  static const Json none;
  const auto found = object.find(key);
  return found == object.end() ? none : *found;
}

[[noreturn]] void fail_unsupported(const std::string& where, const char* what, const Json& found,
                                   std::string_view expected) {
  fail(ErrorKind::unsupported,
       "{}: {} is {}, expected {}; only tokenizers of the Qwen2 family are read", where, what,
       quoted(found.dump(-1, ' ', false, Json::error_handler_t::replace), 80), expected);
}

std::string type_of(const Json& component) {
  if (!component.is_object()) return "";
  const Json& type = member(component, "type");
  return type.is_string() ? type.get<std::string>() : "";
}

bool read_normalizer(const Json& normalizer, const std::string& where) {
  if (normalizer.is_null()) return false;
  if (type_of(normalizer) == "NFC") return true;
  if (type_of(normalizer) == "Sequence") {
    const Json& list = member(normalizer, "normalizers");
    if (list.is_array() && list.empty()) return false;
    if (list.is_array() && list.size() == 1 && type_of(list[0]) == "NFC") return true;
  }
  fail_unsupported(where, "the normalizer", normalizer, "NFC");
}

// A ByteLevel step that only maps bytes: no prefix space, no regular expression of its own.
bool is_plain_byte_level(const Json& step) {
  return type_of(step) == "ByteLevel" && member(step, "add_prefix_space") == Json(false) &&
         member(step, "use_regex") == Json(false);
}

bool is_known_split(const Json& step) {
  const Json& pattern = member(step, "pattern");
  return type_of(step) == "Split" && pattern.is_object() && pattern.size() == 1 &&
         member(pattern, "Regex") == Json(kPieceRegex) &&
         member(step, "behavior") == Json("Isolated") && member(step, "invert") == Json(false);
}

void check_pre_tokenizer(const Json& pre_tokenizer, const std::string& where) {
  const Json& steps =
      pre_tokenizer.is_object() ? member(pre_tokenizer, "pretokenizers") : pre_tokenizer;
  if (type_of(pre_tokenizer) != "Sequence" || !steps.is_array() || steps.size() != 2 ||
      !is_known_split(steps[0]) || !is_plain_byte_level(steps[1])) {
    fail_unsupported(where, "the pre-tokenizer", pre_tokenizer,
                     "Split with the Qwen2 regular expression, then ByteLevel");
  }
}

bool is_empty_text(const Json& value) { return value.is_null() || value == Json(""); }
bool is_off(const Json& value) { return value.is_null() || value == Json(false); }

void check_model(const Json& model, const std::string& where) {
  if (!model.is_object()) {
    fail(ErrorKind::bad_file, "{}: 'model' is {}, expected an object", where, model.type_name());
  }
  if (type_of(model) != "BPE") fail_unsupported(where, "model.type", member(model, "type"), "BPE");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix", "unk_token"}) {
    const Json& value = member(model, key);
    if (!is_empty_text(value)) fail_unsupported(where, key, value, "none");
  }
  for (const char* key : {"byte_fallback", "ignore_merges"}) {
    const Json& value = member(model, key);
    if (!is_off(value)) fail_unsupported(where, key, value, "false");
  }
  const Json& dropout = member(model, "dropout");
  if (!dropout.is_null() && dropout != Json(0.0)) {
    fail_unsupported(where, "dropout", dropout, "none");
  }
  for (const char* key : {"vocab", "merges"}) {
    if (member(model, key) != Json(true)) {
      fail(ErrorKind::bad_file, "{}: model.{} is {}, expected {}", where, key,
           member(model, key).type_name(), key == std::string("vocab") ? "an object" : "a list");
    }
  }
}

bool read_flag(const Json& token, const char* key, const std::string& where) {
  const Json& value = member(token, key);
  if (value.is_null()) return false;
  if (!value.is_boolean()) {
    fail(ErrorKind::bad_file, "{}: '{}' of an added token is {}, expected true or false", where,
         key, value.type_name());
  }
  return value.get<bool>();
}

AddedToken read_added_token(const Json& token, const Json& id, const std::string& where) {
  if (!token.is_object()) {
    fail(ErrorKind::bad_file, "{}: an added token is {}, expected an object", where,
         token.type_name());
  }
  const Json& content = member(token, "content");
  if (!content.is_string()) {
    fail(ErrorKind::bad_file, "{}: an added token has {} as content, expected text", where,
         content.type_name());
  }
  constexpr auto kMaxId = static_cast<std::uint64_t>(std::numeric_limits<TokenId>::max());
  if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kMaxId) {
    fail(ErrorKind::bad_file, "{}: added token {} has id {}, expected a whole number ≥ 0", where,
         quoted(content.get<std::string>(), 40),
         quoted(id.dump(-1, ' ', false, Json::error_handler_t::replace), 40));
  }
  for (const char* key : {"single_word", "lstrip", "rstrip"}) {
    if (read_flag(token, key, where)) {
      fail(ErrorKind::unsupported, "{}: added token {} sets '{}', which this build does not do",
           where, quoted(content.get<std::string>(), 40), key);
    }
  }
  return {id.get<TokenId>(), content.get<std::string>(), read_flag(token, "special", where),
          read_flag(token, "normalized", where)};
}

void require_utf8_file(std::string_view text, const std::string& where, const char* file) {
  const std::size_t at = find_invalid_utf8(text);
  if (at != std::string_view::npos) {
    fail(ErrorKind::bad_file, "{}: {} is not valid UTF-8 at byte {}", where, file, at);
  }
}

Json read_small_object(std::string_view json, const std::string& where) {
  TokenizerSource unused;
  unused.where = where;
  Json tree = Json::parse(read_tables(json, unused, TableLayout::none));
  if (!tree.is_object()) {
    fail(ErrorKind::bad_file, "{}: holds {}, expected an object", where, tree.type_name());
  }
  return tree;
}

// Names of the tokens tokenizer_config.json calls special, for added_tokens.json has no flags.
std::set<std::string> special_names(const Json& config) {
  std::set<std::string> names;
  const auto add = [&](const Json& value) {
    if (value.is_string()) names.insert(value.get<std::string>());
    if (value.is_object() && member(value, "content").is_string()) {
      names.insert(member(value, "content").get<std::string>());
    }
  };
  for (const auto& [key, value] : config.items()) {
    if (key.size() > 6 && key.compare(key.size() - 6, 6, "_token") == 0) add(value);
    if (key == "additional_special_tokens" && value.is_array()) {
      for (const Json& name : value) add(name);
    }
  }
  return names;
}

Json id_of_key(const std::string& key, const std::string& where) {
  if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos) {
    fail(ErrorKind::bad_file, "{}: added token id {} is not a whole number", where,
         quoted(key, 40));
  }
  return static_cast<std::uint64_t>(std::stoul(key));
}

}  // namespace

TokenizerSource read_tokenizer_json(std::string_view json, const std::string& where) {
  TokenizerSource source;
  source.where = where;
  const Json root = Json::parse(read_tables(json, source, TableLayout::tokenizer_json));
  if (!root.is_object()) {
    fail(ErrorKind::bad_file, "{}: holds {}, expected an object", where, root.type_name());
  }
  check_model(member(root, "model"), where);
  source.has_nfc = read_normalizer(member(root, "normalizer"), where);
  check_pre_tokenizer(member(root, "pre_tokenizer"), where);
  const Json& decoder = member(root, "decoder");
  if (type_of(decoder) != "ByteLevel") fail_unsupported(where, "the decoder", decoder, "ByteLevel");
  const Json& post = member(root, "post_processor");
  if (!post.is_null() && type_of(post) != "ByteLevel") {
    fail_unsupported(where, "the post-processor", post, "ByteLevel or none");
  }
  // "truncation" and "padding" are what the last program to save the file had set; the reference
  // overrides them on every call, and so they mean nothing here.
  const Json& added = member(root, "added_tokens");
  if (!added.is_null() && !added.is_array()) {
    fail(ErrorKind::bad_file, "{}: 'added_tokens' is {}, expected a list", where,
         added.type_name());
  }
  for (const Json& token : added) {
    source.added.push_back(
        read_added_token(token, token.is_object() ? member(token, "id") : Json(), where));
  }
  return source;
}

TokenizerSource read_vocab_and_merges(std::string_view vocab_json, std::string_view merges,
                                      const std::string& where) {
  TokenizerSource source;
  source.where = where;
  read_tables(vocab_json, source, TableLayout::vocab_json);
  if (source.words.empty()) {
    fail(ErrorKind::bad_file, "{}: vocab.json holds no vocabulary, expected {{\"token\": id, …}}",
         where);
  }
  if (merges.size() > kMaxTextBytes) {
    fail(ErrorKind::bad_file, "{}: merges.txt has {} bytes, expected at most {}", where,
         merges.size(), kMaxTextBytes);
  }
  require_utf8_file(merges, where, "merges.txt");
  for (std::size_t line_number = 1; !merges.empty(); ++line_number) {
    const std::size_t newline = merges.find('\n');
    std::string_view line = merges.substr(0, newline);
    merges.remove_prefix(newline == std::string_view::npos ? merges.size() : newline + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.substr(0, 8) == "#version" || line.empty()) continue;
    const std::size_t space = line.find(' ');
    if (space == 0 || space == std::string_view::npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos) {
      fail(ErrorKind::bad_file, "{}: line {} of merges.txt is {}, expected two tokens", where,
           line_number, quoted(line, 40));
    }
    source.add_merge(line.substr(0, space), line.substr(space + 1));
  }
  return source;
}

std::vector<AddedToken> read_added_tokens(std::string_view tokenizer_config_json,
                                          std::string_view added_tokens_json,
                                          const std::string& where) {
  std::vector<AddedToken> tokens;
  const std::string config_where = where + "/tokenizer_config.json";
  const Json config = tokenizer_config_json.empty()
                          ? Json::object()
                          : read_small_object(tokenizer_config_json, config_where);
  const Json& decoder = member(config, "added_tokens_decoder");
  if (!decoder.is_null() && !decoder.is_object()) {
    fail(ErrorKind::bad_file, "{}: 'added_tokens_decoder' is {}, expected an object", config_where,
         decoder.type_name());
  }
  for (const auto& [id, token] : decoder.items()) {
    tokens.push_back(read_added_token(token, id_of_key(id, config_where), config_where));
  }
  if (added_tokens_json.empty()) return tokens;

  const std::string added_where = where + "/added_tokens.json";
  const std::set<std::string> specials = special_names(config);
  const Json added = read_small_object(added_tokens_json, added_where);
  for (const auto& [text, id] : added.items()) {
    const AddedToken token = read_added_token(
        {{"content", text}, {"special", specials.count(text) > 0}}, id, added_where);
    const auto same = std::find_if(tokens.begin(), tokens.end(),
                                   [&](const AddedToken& t) { return t.text == token.text; });
    if (same == tokens.end()) {
      tokens.push_back(token);
    } else if (same->id != token.id) {
      fail(ErrorKind::bad_file, "{}: token {} has id {}, but {} in tokenizer_config.json",
           added_where, quoted(text, 40), token.id, same->id);
    }
  }
  return tokens;
}

}  // namespace qwenvl
