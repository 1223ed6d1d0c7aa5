// Conversations → the exact text the model was trained on (specification of the two templates:
// the multimodal one of chat_template.json and the tool one of tokenizer_config.json).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  // JSON texts, one per tool. Not empty: the tool block is put into the system turn.
  std::vector<std::string> tools_json;
};

// The text of the conversation, cut into pieces; concatenated it equals the reference's bytes.
// Throws bad_request (an unparsable tool JSON).
std::vector<TemplatePiece> render_chat(const std::vector<TemplateMessage>& messages,
                                       const TemplateOptions& options);

std::string concatenated(const std::vector<TemplatePiece>& pieces);

// JSON as Python's json.dumps(ensure_ascii=False) writes it: ", " and ": ", insertion order kept.
std::string python_json(std::string_view json, std::string_view where);

}  // namespace qwenvl
