// Conversation → the exact text the model was trained on, in trusted and untrusted pieces.
// Before: a conversation.   After: tokenizer.cpp encodes the pieces as one text.
// Mirrors the two Jinja templates of the published checkpoints.
#include "text/chat_template.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace qwenvl {
namespace {

constexpr std::string_view kToolsBegin =
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
constexpr std::string_view kToolsEnd =
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within <tool_call></tool_call> XML tags:\n<tool_call>\n"
    "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>";

// Collects pieces; neighbours of the same trust become one.
class Writer {
 public:
  explicit Writer(const TemplateOptions& options) : options_(options) {}

  void marker(std::string_view text) { add(text, true); }
  void words(std::string_view text) { add(text, false); }

  void body(const TemplateMessage& message) {
    for (const TemplatePart& part : message.parts) {
      switch (part.kind) {
        case TemplatePart::Kind::text: words(part.text); break;
        case TemplatePart::Kind::image:
          ++n_images_;
          if (options_.add_vision_id) marker(fmt::format("Picture {}: ", n_images_));
          marker("<|vision_start|><|image_pad|><|vision_end|>");
          break;
        case TemplatePart::Kind::video:
          ++n_videos_;
          if (options_.add_vision_id) marker(fmt::format("Video {}: ", n_videos_));
          marker("<|vision_start|><|video_pad|><|vision_end|>");
          break;
      }
    }
  }

  void begin_turn(std::string_view role) {
    marker("<|im_start|>");
    words(role);
  }
  void end_turn() { marker("<|im_end|>\n"); }

  void turn(const TemplateMessage& message) {
    begin_turn(message.role);
    marker("\n");
    body(message);
    end_turn();
  }

  void default_system() {
    marker("<|im_start|>system\n");
    words(options_.default_system);
  }

  std::vector<TemplatePiece> take() { return std::move(pieces_); }

 private:
  void add(std::string_view text, bool is_trusted) {
    if (text.empty()) return;
    if (pieces_.empty() || pieces_.back().is_trusted != is_trusted) {
      pieces_.push_back({std::string(text), is_trusted});
    } else {
      pieces_.back().text += text;
    }
  }

  const TemplateOptions& options_;
  std::vector<TemplatePiece> pieces_;
  int n_images_ = 0, n_videos_ = 0;  // counted over the whole conversation
};

bool has_body(const TemplateMessage& message) {
  return std::any_of(message.parts.begin(), message.parts.end(), [](const TemplatePart& part) {
    return part.kind != TemplatePart::Kind::text || !part.text.empty();
  });
}

bool is_system(const TemplateMessage& message) { return message.role == "system"; }
bool is_tool(const TemplateMessage& message) { return message.role == "tool"; }

// The system turn, with the signatures of the tools.
void write_system(Writer& writer, const std::vector<TemplateMessage>& messages,
                  const TemplateOptions& options) {
  if (is_system(messages.front())) {
    writer.marker("<|im_start|>system\n");
    writer.body(messages.front());
  } else {
    writer.default_system();
  }
  if (!options.tools_json.empty()) {
    writer.marker(kToolsBegin);
    for (std::size_t i = 0; i < options.tools_json.size(); ++i) {
      writer.marker("\n");
      writer.words(python_json(options.tools_json[i], fmt::format("tools[{}]", i)));
    }
    writer.marker(kToolsEnd);
  }
  writer.end_turn();
}

void write_tool_calls(Writer& writer, const TemplateMessage& message, std::size_t index) {
  writer.begin_turn(message.role);
  if (has_body(message)) {
    writer.marker("\n");
    writer.body(message);
  }
  for (std::size_t i = 0; i < message.tool_calls.size(); ++i) {
    const TemplateToolCall& call = message.tool_calls[i];
    writer.marker("\n<tool_call>\n{\"name\": \"");
    writer.words(call.name);
    writer.marker("\", \"arguments\": ");
    writer.words(python_json(call.arguments_json,
                             fmt::format("messages[{}].tool_calls[{}].arguments", index, i)));
    writer.marker("}\n</tool_call>");
  }
  writer.end_turn();
}

// The result of a call; consecutive ones share a user turn.
void write_tool_response(Writer& writer, const std::vector<TemplateMessage>& messages,
                         std::size_t i) {
  if (i == 0 || !is_tool(messages[i - 1])) writer.marker("<|im_start|>user");
  writer.marker("\n<tool_response>\n");
  writer.body(messages[i]);
  writer.marker("\n</tool_response>");
  if (i + 1 == messages.size() || !is_tool(messages[i + 1])) writer.end_turn();
}

void write_with_tools(Writer& writer, const std::vector<TemplateMessage>& messages,
                      const TemplateOptions& options) {
  if (messages.empty()) {
    fail(ErrorKind::bad_request, "messages: none given, expected at least one next to the tools");
  }
  write_system(writer, messages, options);
  for (std::size_t i = is_system(messages.front()) ? 1 : 0; i < messages.size(); ++i) {
    const TemplateMessage& message = messages[i];
    if (is_tool(message)) {
      write_tool_response(writer, messages, i);
    } else if (!message.tool_calls.empty()) {
      write_tool_calls(writer, message, i);
    } else if (is_system(message) || message.role == "user" || message.role == "assistant") {
      writer.turn(message);
    } else {
      fail(ErrorKind::bad_request,
           "messages[{}]: role {}, expected system, user, assistant or tool in a conversation with "
           "tools",
           i, quoted(message.role, 40));
    }
  }
}

bool needs_tool_template(const std::vector<TemplateMessage>& messages,
                         const TemplateOptions& options) {
  return !options.tools_json.empty() ||
         std::any_of(messages.begin(), messages.end(), [](const TemplateMessage& message) {
           return is_tool(message) || !message.tool_calls.empty();
         });
}

}  // namespace

std::vector<TemplatePiece> render_chat(const std::vector<TemplateMessage>& messages,
                                       const TemplateOptions& options) {
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].tool_calls.empty() && messages[i].role != "assistant") {
      fail(ErrorKind::bad_request, "messages[{}]: tool calls in a turn of {}, expected assistant",
           i, quoted(messages[i].role, 40));
    }
  }
  Writer writer(options);
  if (needs_tool_template(messages, options)) {
    write_with_tools(writer, messages, options);
  } else {
    if (!messages.empty() && !is_system(messages.front())) {
      writer.default_system();
      writer.end_turn();
    }
    for (const TemplateMessage& message : messages) writer.turn(message);
  }
  if (options.add_generation_prompt) writer.marker("<|im_start|>assistant\n");
  return writer.take();
}

std::string concatenated(const std::vector<TemplatePiece>& pieces) {
  std::string text;
  for (const TemplatePiece& piece : pieces) text += piece.text;
  return text;
}

std::vector<TokenId> encode_chat(const Tokenizer& tokenizer,
                                 const std::vector<TemplatePiece>& pieces,
                                 SpecialTokens untrusted) {
  std::vector<TextRange> trusted;
  std::size_t at = 0;
  for (const TemplatePiece& piece : pieces) {
    const std::size_t end = at + piece.text.size();
    if (piece.is_trusted || untrusted == SpecialTokens::parse) {
      if (!trusted.empty() && trusted.back().end == at) {
        trusted.back().end = end;
      } else {
        trusted.push_back({at, end});
      }
    }
    at = end;
  }
  return tokenizer.encode_mixed(concatenated(pieces), trusted);
}

}  // namespace qwenvl
