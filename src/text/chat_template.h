// Conversations → the exact text the model was trained on (specification of the two templates:
// the multimodal one of chat_template.json and the tool one of tokenizer_config.json).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/tokenizer.h"

namespace qwenvl {

// One piece of rendered text. User-controlled text is kept apart from the template's own markers so
// that the tokenizer can refuse to read special tokens in it.
struct TemplatePiece {
  std::string text;
  bool is_trusted;  // written by the template: special tokens are tokens
};

struct TemplatePart {
  enum class Kind { text, image, video } kind = Kind::text;
  std::string text;  // Kind::text
};

struct TemplateToolCall {
  std::string name;
  std::string arguments_json;  // any JSON value; re-serialised the way Python's json.dumps does
};

struct TemplateMessage {
  std::string role;
  std::vector<TemplatePart> parts;
  std::vector<TemplateToolCall> tool_calls;  // assistant turns
};

struct TemplateOptions {
  bool add_generation_prompt = true;
  bool add_vision_id = false;  // "Picture 1: " before each image
  // Put first when the conversation does not begin with a system message.
  std::string default_system = "You are a helpful assistant.";
  // JSON texts, one per tool. Not empty: the tool block is put into the system turn.
  std::vector<std::string> tools_json;
};

// The text of the conversation, cut into pieces; concatenated it equals the reference's bytes.
// The multimodal template is used unless there are tools, tool calls or tool messages; then the
// tool template, with pictures rendered as in the multimodal one. Throws bad_request: an unparsable
// tool JSON, a role the tool template does not know (it would drop the message), tool calls outside
// of an assistant turn.
std::vector<TemplatePiece> render_chat(const std::vector<TemplateMessage>& messages,
                                       const TemplateOptions& options);

std::string concatenated(const std::vector<TemplatePiece>& pieces);

// The ids of the pieces as one text: special tokens are read in trusted pieces, and in the others
// only when `untrusted` is SpecialTokens::parse. Encoding piece by piece would give other ids: the
// reference merges across their borders (a line break of the template and one of the user).
std::vector<TokenId> encode_chat(const Tokenizer& tokenizer,
                                 const std::vector<TemplatePiece>& pieces, SpecialTokens untrusted);

// JSON as Python's json.dumps(ensure_ascii=False) writes it: ", " and ": ", insertion order kept,
// of equal keys the last value, floats by their shortest digits. Throws bad_request, naming
// `where`: not JSON, not UTF-8, half a surrogate pair, nested deeper than 200, an integer of more
// than 4300 digits.
std::string python_json(std::string_view json, std::string_view where);

}  // namespace qwenvl
