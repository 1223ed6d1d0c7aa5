// qwenvl chat from outside, with standard input as a script.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "run_program.h"

namespace qwenvl::testing {
namespace {

using Json = nlohmann::json;

Outcome chat(const std::string& script) {
  return run({"chat", "--greedy", "--max-new-tokens", "3"}, script);
}

class Chat : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::string photo_ = write_file(folder_ / "photo.bmp", bmp_bytes(60, 90));
  std::string file_ = folder_ / "chat.json";

  Json messages() const { return Json::parse(read_whole(file_)).at("messages"); }
};

TEST_F(Chat, EndsQuietlyWithTheInput) {
  const Outcome outcome = chat("");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "");
}

TEST_F(Chat, KeepsTheWholeConversation) {
  EXPECT_EQ(chat("Hello\nAgain\n/save " + file_ + "\n").exit_code, 0);
  ASSERT_EQ(messages().size(), 4U);
  EXPECT_EQ(messages()[0], (Json{{"role", "user"}, {"content", "Hello"}}));
  EXPECT_EQ(messages()[1]["role"], "assistant");
  EXPECT_EQ(messages()[2]["content"], "Again");
}

TEST_F(Chat, PutsPicturesIntoTheNextMessageOnly) {
  EXPECT_EQ(chat("/image " + photo_ + "\nWhat?\nAnd now?\n/save " + file_ + "\n").exit_code, 0);
  EXPECT_EQ(messages()[0]["content"][0], (Json{{"type", "image"}, {"image", photo_}}));
  EXPECT_EQ(messages()[2]["content"], "And now?");
}

TEST_F(Chat, PutsAClipIntoTheNextMessageAndSavesItsFramesAndTheirRate) {
  const std::string clip = folder_ / "clip";
  std::filesystem::create_directories(clip);
  write_file(clip + "/1.bmp", bmp_bytes(112, 112));
  write_file(clip + "/2.bmp", bmp_bytes(112, 112));
  const std::vector<std::string> options = {"chat", "--greedy", "--max-new-tokens",
                                            "3",    "--fps",    "0.5"};
  const Outcome saved = run(options, "/clip " + clip + "\nWhen?\n/save " + file_ + "\nAgain\n");
  EXPECT_EQ(saved.exit_code, 0) << saved.err;
  EXPECT_EQ(messages()[0]["content"][0], (Json{{"type", "video"},
                                               {"video", {clip + "/1.bmp", clip + "/2.bmp"}},
                                               {"sample_fps", 0.5}}));
  const Outcome loaded = chat("/load " + file_ + "\nAgain\n");
  EXPECT_EQ(loaded.exit_code, 0) << loaded.err;
  EXPECT_EQ(saved.out.substr(saved.out.size() - loaded.out.size()), loaded.out);
  EXPECT_NE(loaded.err.find("2 frames of 112x112, 0.5 a second: 4 s"), std::string::npos);
}

TEST_F(Chat, GoesOnWithASavedConversation) {
  const Outcome whole = chat("/system Be brief\nOne\nTwo\n");
  EXPECT_EQ(chat("/system Be brief\nOne\n/save " + file_ + "\n").exit_code, 0);
  const Outcome continued = chat("/load " + file_ + "\nTwo\n");
  EXPECT_EQ(continued.exit_code, 0) << continued.err;
  EXPECT_EQ(whole.out.substr(whole.out.size() - continued.out.size()), continued.out);
}

TEST_F(Chat, ForgetsOnClear) {
  EXPECT_EQ(chat("Hello\n/clear\nFresh\n/save " + file_ + "\n").exit_code, 0);
  ASSERT_EQ(messages().size(), 2U);
  EXPECT_EQ(messages()[0]["content"], "Fresh");
}

TEST_F(Chat, JoinsLinesThatEndInABackslashAndTakesDoubleSlashAsText) {
  EXPECT_EQ(chat("one\\\ntwo\n//three\n/save " + file_ + "\n").exit_code, 0);
  EXPECT_EQ(messages()[0]["content"], "one\ntwo");
  EXPECT_EQ(messages()[2]["content"], "/three");
}

TEST_F(Chat, EndsAtQuit) {
  const Outcome outcome = chat("/quit\nHello\n");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out, "");
}

TEST_F(Chat, StopsAScriptAtItsFirstMistake) {
  const struct {
    std::string script;
    int exit_code;
    const char* message;
  } cases[] = {
      {"/bogus\n", 2, "unknown command /bogus"},
      {"/image\n", 2, "/image needs an argument"},
      {"/image nowhere\n", 3, "nowhere: no such picture"},
      {"/image -\n", 2, "standard input is the conversation"},
      {"/image " + folder_.path().string() + "\n", 2, "is a video or a folder: /clip adds it"},
      {"/clip\n", 2, "/clip needs an argument"},
      {"/clip nowhere\n", 2, "nowhere: no such video or folder"},
      {"/clip " + photo_ + "\n", 2, "is neither a video nor a folder"},
      {"/load /nowhere.json\n", 3, "/nowhere.json"},
      {"/load " + photo_ + "\n", 3, "not a saved conversation"},
      {"/save /nowhere/chat.json\n", 6, "cannot be written"},
  };
  for (const auto& c : cases) {
    const Outcome outcome = chat(c.script + "Hello\n");
    EXPECT_EQ(outcome.exit_code, c.exit_code) << c.script << outcome.err;
    EXPECT_NE(outcome.err.find(c.message), std::string::npos) << c.script << outcome.err;
    EXPECT_EQ(outcome.out, "") << c.script;
  }
}

TEST_F(Chat, RefusesSavedConversationsItDoesNotUnderstand) {
  const char* files[] = {"[]",
                         "{}",
                         R"({"messages": [{"role": "user"}]})",
                         R"({"messages": [{"role": "user", "content": 5}]})",
                         R"({"messages": [{"role": "user", "content": [{"type": "sound"}]}]})",
                         R"({"messages": [{"role": "user", "content": [{"type": "video",
                             "video": 5}]}]})"};
  for (const char* text : files) {
    write_file(file_, text);
    const Outcome outcome = chat("/load " + file_ + "\n");
    EXPECT_NE(outcome.exit_code, 0) << text;
    EXPECT_NE(outcome.exit_code, 70) << text;
    EXPECT_NE(outcome.err.find(file_), std::string::npos) << text << outcome.err;
  }
}

}  // namespace
}  // namespace qwenvl::testing
