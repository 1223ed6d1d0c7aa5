// Rendered conversations against the reference's templates, and what users cannot smuggle in.
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "golden.h"

namespace qwenvl {
namespace {

using nlohmann::json;
using testing::golden_json;
using testing::published_tokenizer;

TemplateMessage message_of(const json& item) {
  TemplateMessage message{item["role"].get<std::string>(), {}, {}};
  if (item["content"].is_string()) {
    message.parts.push_back({TemplatePart::Kind::text, item["content"].get<std::string>()});
  } else {
    for (const json& part : item["content"]) {
      const auto type = part["type"].get<std::string>();
      const auto kind = type == "image"   ? TemplatePart::Kind::image
                        : type == "video" ? TemplatePart::Kind::video
                                          : TemplatePart::Kind::text;
      message.parts.push_back({kind, part.value("text", "")});
    }
  }
  for (const json& call : item.value("tool_calls", json::array())) {
    message.tool_calls.push_back(
        {call["name"].get<std::string>(), call["arguments"].get<std::string>()});
  }
  return message;
}

std::vector<TemplatePiece> render(const json& conversation) {
  std::vector<TemplateMessage> messages;
  for (const json& item : conversation["messages"]) messages.push_back(message_of(item));
  TemplateOptions options;
  options.add_generation_prompt = conversation["options"].value("add_generation_prompt", true);
  options.add_vision_id = conversation["options"].value("add_vision_id", false);
  options.tools_json = conversation["tools"].get<std::vector<std::string>>();
  return render_chat(messages, options);
}

const json& conversations() {
  static const json golden = golden_json("text/templates.json")["conversations"];
  return golden;
}

std::vector<TemplatePiece> render_user(const std::string& text) {
  return render_chat({{"user", {{TemplatePart::Kind::text, text}}, {}}}, {});
}

TEST(ChatTemplate, RendersEveryGoldenConversationByteForByte) {
  ASSERT_GE(conversations().size(), 40u);
  for (const json& conversation : conversations()) {
    EXPECT_EQ(concatenated(render(conversation)), conversation["text"].get<std::string>())
        << conversation["name"];
  }
}

TEST(ChatTemplate, ReadingSpecialTokensEverywhereGivesTheIdsOfTheReference) {
  for (const json& conversation : conversations()) {
    EXPECT_EQ(encode_chat(published_tokenizer(), render(conversation), SpecialTokens::parse),
              conversation["ids"].get<std::vector<TokenId>>())
        << conversation["name"];
  }
}

TEST(ChatTemplate, OrdinaryTextHasTheSameIdsWhenItIsNotTrusted) {
  int n_compared = 0;
  for (const json& conversation : conversations()) {
    if (conversation["name"].get<std::string>().find("special token") != std::string::npos)
      continue;
    ++n_compared;
    EXPECT_EQ(encode_chat(published_tokenizer(), render(conversation), SpecialTokens::as_text),
              conversation["ids"].get<std::vector<TokenId>>())
        << conversation["name"];
  }
  EXPECT_GE(n_compared, 40);
}

TEST(ChatTemplate, NoAddedTokenInTheTextOfAUserBecomesAToken) {
  const Tokenizer& tokenizer = published_tokenizer();
  const auto baseline = encode_chat(tokenizer, render_user("x"), SpecialTokens::as_text);
  for (const AddedToken& token : tokenizer.added_tokens()) {
    const auto ids = encode_chat(tokenizer, render_user("x" + token.text), SpecialTokens::as_text);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), token.id),
              std::count(baseline.begin(), baseline.end(), token.id))
        << token.text;
    EXPECT_NE(tokenizer.decode(ids, true).find("x" + token.text + "\n"), std::string::npos)
        << token.text;
  }
}

TEST(ChatTemplate, RolesNamesArgumentsAndResponsesAreNotTrusted) {
  for (const json& conversation : conversations()) {
    if (conversation["name"].get<std::string>().find("special token") == std::string::npos)
      continue;
    for (const TemplatePiece& piece : render(conversation)) {
      if (!piece.is_trusted) continue;
      EXPECT_EQ(piece.text.find("Evil"), std::string::npos) << conversation["name"];
      EXPECT_EQ(piece.text.find("<|vision_end|>\n</tool_response>\n</tool_response>"),
                std::string::npos);
    }
    const auto ids =
        encode_chat(published_tokenizer(), render(conversation), SpecialTokens::as_text);
    const auto n_begins = std::count(ids.begin(), ids.end(), 151644);
    const auto n_ends = std::count(ids.begin(), ids.end(), 151645);
    EXPECT_EQ(n_begins, n_ends + 1) << conversation["name"];
    EXPECT_EQ(std::count(ids.begin(), ids.end(), 151655), 0) << conversation["name"];
  }
}

TEST(ChatTemplate, AMarkerCannotBeCompletedByTheUser) {
  for (const char* text : {"<|im_", "end|>", "|>", "<", "<|im_end|", "_start|>system\n"}) {
    const auto ids = encode_chat(published_tokenizer(), render_user(text), SpecialTokens::as_text);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), 151644), 3) << text;
    EXPECT_EQ(std::count(ids.begin(), ids.end(), 151645), 2) << text;
  }
}

TEST(ChatTemplate, WhatTheToolTemplateCannotSayIsRefused) {
  const TemplateMessage user{"user", {{TemplatePart::Kind::text, "x"}}, {}};
  const TemplateMessage other{"developer", {}, {}};
  const TemplateMessage caller{"user", {}, {{"f", "{}"}}};
  const TemplateMessage broken{"assistant", {}, {{"f", "{"}}};
  TemplateOptions tools;
  tools.tools_json = {"{}"};
  TemplateOptions broken_tools;
  broken_tools.tools_json = {"{}", "{'a': 1}"};
  const auto error = [](const std::vector<TemplateMessage>& messages,
                        const TemplateOptions& options) {
    return error_of([&] { render_chat(messages, options); }).substr(0, 25);
  };
  EXPECT_EQ(error({}, tools), "bad_request: messages: no");
  EXPECT_EQ(error({user, other}, tools), "bad_request: messages[1]:");
  EXPECT_EQ(error({caller}, {}), "bad_request: messages[0]:");
  EXPECT_EQ(error({user, broken}, {}), "bad_request: messages[1].");
  EXPECT_EQ(error({user}, broken_tools), "bad_request: tools[1]: no");
}

}  // namespace
}  // namespace qwenvl
