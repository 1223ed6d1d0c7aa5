// python_json against json.dumps, and what it refuses.
#include <gtest/gtest.h>

#include "golden.h"
#include "text/chat_template.h"

namespace qwenvl {
namespace {

TEST(PythonJson, WritesWhatPythonWrites) {
  const nlohmann::json golden = testing::golden_json("text/templates.json");
  for (const auto& pair : golden["python_json"]) {
    EXPECT_EQ(python_json(pair[0].get<std::string>(), "test"), pair[1].get<std::string>())
        << pair[0];
  }
}

TEST(PythonJson, RefusesWhatIsNotJson) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[",
                           "[1,]",
                           "{\"a\":1,}",
                           "{\"a\"}",
                           "{a:1}",
                           "{1:2}",
                           "nul",
                           "tru",
                           "NaN",
                           "Infinity",
                           "01",
                           "1.",
                           ".5",
                           "+1",
                           "-",
                           "1e",
                           "1e+",
                           "'a'",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "\"\n\"",
                           "1 1",
                           "[1 2]",
                           "\"\\",
                           "\xff",
                           "\"\xed\xa0\x80\"",
                           "// x\n1",
                           "\xc2\xa0"
                           "1"}) {
    const std::string error = error_of([&] { python_json(text, "tools[0]"); });
    EXPECT_EQ(error.substr(0, 22), "bad_request: tools[0]:") << text << " → " << error;
  }
}

TEST(PythonJson, RefusesNestingThatPythonCouldNotReadEither) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(python_json(nested(200), "test"), nested(200));
  EXPECT_NE(error_of([&] { python_json(nested(202), "test"); }), "");
  EXPECT_NE(error_of([&] { python_json(std::string(1'000'000, '['), "test"); }), "");
}

TEST(PythonJson, RefusesIntegersThatPythonCouldNotReadEither) {
  EXPECT_EQ(python_json(std::string(4300, '7'), "test"), std::string(4300, '7'));
  EXPECT_NE(error_of([&] { python_json(std::string(4301, '7'), "test"); }), "");
}

}  // namespace
}  // namespace qwenvl
