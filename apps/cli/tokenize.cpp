// qwenvl tokenize: text → token ids and back, with a model's tokenizer and without its weights.
#include <fmt/format.h>

#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "command.h"
#include "json_text.h"
#include "model_choice.h"
#include "options.h"
#include "qwenvl/tools.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

using Json = nlohmann::ordered_json;

struct TokenizeOptions {
  std::string model;
  std::string text;
  std::string ids;
  bool is_decoding = false;
  bool shows_pieces = false;
  bool shows_count = false;
  bool parses_special = false;
  bool skips_special = false;
};

constexpr const char* kExamples = R"(Examples:
  qwenvl tokenize "Hello, world"
  qwenvl tokenize --pieces "naïve 👋🏽"
  qwenvl tokenize --count - < book.txt
  qwenvl tokenize --parse-special "<|im_start|>user"
  qwenvl tokenize --decode "9707, 11, 1879")";

constexpr std::size_t kMaxInputBytes = std::size_t{64} << 20;

std::vector<std::int32_t> parse_ids(const std::string& text) {
  constexpr const char* kSeparators = ", \t\r\n[]";  // also a list copied from JSON or Python
  std::vector<std::int32_t> ids;
  for (std::size_t start = text.find_first_not_of(kSeparators); start != std::string::npos;) {
    const std::size_t end = text.find_first_of(kSeparators, start);
    const std::string word = text.substr(start, end == std::string::npos ? end : end - start);
    const std::int64_t id = parse_integer(word, "--decode");
    if (id < 0 || id > std::numeric_limits<std::int32_t>::max()) {
      throw Error(ErrorKind::bad_request, fmt::format("--decode: {} cannot be a token id", id));
    }
    ids.push_back(static_cast<std::int32_t>(id));
    start = text.find_first_not_of(kSeparators, end);
  }
  return ids;
}

std::string text_of(const std::string& argument) {
  return argument == "-" ? read_input(kMaxInputBytes) : argument;
}

int print_text(const std::string& text, std::size_t n_ids, bool is_json) {
  if (is_json) {
    write_output(json_text({{"text", text}, {"count", n_ids}}) + "\n");
  } else {
    write_output(text + "\n");
  }
  return kExitOk;
}

int print_ids(const TextCodec& codec, const std::vector<std::int32_t>& ids,
              const TokenizeOptions& options, bool is_json) {
  if (is_json) {
    Json pieces = Json::array();
    for (const std::int32_t id : ids) pieces.push_back(codec.token_text(id));
    write_output(json_text({{"ids", ids}, {"pieces", std::move(pieces)}, {"count", ids.size()}}) +
                 "\n");
  } else if (options.shows_count) {
    write_output(fmt::format("{}\n", ids.size()));
  } else if (options.shows_pieces) {
    std::string lines;
    // Quoted as JSON, so that spaces and line ends can be seen.
    for (const std::int32_t id : ids) {
      lines += fmt::format("{:>6}  {}\n", id, json_text(Json(codec.token_text(id))));
    }
    write_output(lines);
  } else {
    write_output(fmt::format("{}\n", fmt::join(ids, " ")));
  }
  return kExitOk;
}

int run_tokenize(const TokenizeOptions& options, bool has_text, bool is_json) {
  if (has_text == options.is_decoding) {
    throw Error(ErrorKind::bad_request,
                "pass either TEXT (or - for standard input) or --decode IDS");
  }
  const TextCodec codec(chosen_model(options.model));
  if (options.is_decoding) {
    const std::vector<std::int32_t> ids = parse_ids(text_of(options.ids));
    return print_text(codec.decode(ids, options.skips_special), ids.size(), is_json);
  }
  return print_ids(codec, codec.encode(text_of(options.text), options.parses_special), options,
                   is_json);
}

}  // namespace

void add_tokenize(CLI::App& program, Chosen& chosen) {
  CLI::App& command =
      *program.add_subcommand("tokenize", "Turn text into token ids, or ids into text");
  command.footer(kExamples);
  auto options = std::make_shared<TokenizeOptions>();
  add_model_option(command, options->model);
  CLI::Option* text =
      command.add_option("TEXT", options->text, "The text; -: standard input")->type_name("");
  auto* pieces =
      command.add_flag("--pieces", options->shows_pieces, "One token a line, with its text");
  auto* count =
      command.add_flag("--count", options->shows_count, "Only how many")->excludes(pieces);
  auto* parse = command.add_flag("--parse-special", options->parses_special,
                                 "Let <|im_end|> and the like be control tokens");
  CLI::Option* decode = command
                            .add_option("--decode", options->ids,
                                        "Ids, separated by commas or spaces; -: standard input")
                            ->type_name("IDS")
                            ->excludes(pieces)
                            ->excludes(count)
                            ->excludes(parse);
  command
      .add_flag("--skip-special", options->skips_special,
                "Leave control tokens out of the decoded text")
      ->needs(decode);
  command.add_flag("--json", chosen.is_json_wanted, "One JSON object");
  command.callback([=, &chosen] {
    options->is_decoding = decode->count() > 0;
    const bool has_text = text->count() > 0;
    chosen.run = [=, &chosen] { return run_tokenize(*options, has_text, chosen.is_json_wanted); };
  });
}

}  // namespace qwenvl::cli
