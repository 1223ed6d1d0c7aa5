// A run that stops and goes on: what is kept, what is refused.
#include "engine/video/localize_state.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace qwenvl {
namespace {

WindowAnswer some_answer() {
  WindowAnswer answer;
  answer.text = "in 1.0 - 2.0 seconds \xff";
  answer.video_tokens = 40;
  answer.certainty = 0.25;
  answer.of_entries = {0.5};
  answer.yes = 0.75;
  answer.clip_fps = 2;
  answer.frame_seconds = {0, 0.5};
  return answer;
}

const LookWindow kWindow{10, 18, 2, 0.5};

TEST(LocalizeState, KeepsAnswersAndStretches) {
  const TemporaryFolder folder;
  const std::string path = folder / "state.jsonl";
  {
    LocalizeState state(path, "{\"video\":1}");
    EXPECT_EQ(state.find("q", kWindow), nullptr);
    EXPECT_FALSE(state.stretches());
    state.keep(std::vector<Stretch>{{1, 2, 3}});
    state.keep("q", kWindow, some_answer());
  }
  const LocalizeState again(path, "{\"video\":1}");
  ASSERT_TRUE(again.stretches());
  EXPECT_DOUBLE_EQ(again.stretches()->at(0).end, 2);
  const WindowAnswer* answer = again.find("q", kWindow);
  ASSERT_NE(answer, nullptr);
  EXPECT_EQ(answer->video_tokens, 40);
  EXPECT_DOUBLE_EQ(answer->yes, 0.75);
  EXPECT_EQ(answer->frame_seconds.size(), 2u);
  EXPECT_EQ(again.find("another", kWindow), nullptr);
  EXPECT_EQ(again.find("q", {10, 18, 1, 0.5}), nullptr);
}

TEST(LocalizeState, RefusesAFileOfSomethingElse) {
  const TemporaryFolder folder;
  const std::string path = folder / "state.jsonl";
  { const LocalizeState state(path, "{\"video\":1}"); }
  const std::string error = error_of([&] { LocalizeState(path, "{\"video\":2}"); });
  EXPECT_TRUE(error.starts_with("bad_request: ")) << error;
  EXPECT_NE(error.find(path), std::string::npos) << error;
}

TEST(LocalizeState, ALineThatWasCutOffIsForgottenAndDoesNotSpoilTheNext) {
  const TemporaryFolder folder;
  const std::string path = folder / "state.jsonl";
  {
    LocalizeState state(path, "{}");
    state.keep("q", kWindow, some_answer());
  }
  std::ofstream(path, std::ios::app) << "{\"window\": \"10.0";
  {
    LocalizeState state(path, "{}");
    EXPECT_NE(state.find("q", kWindow), nullptr);
    state.keep("r", kWindow, some_answer());
  }
  const LocalizeState again(path, "{}");
  EXPECT_NE(again.find("q", kWindow), nullptr);
  EXPECT_NE(again.find("r", kWindow), nullptr);
}

TEST(LocalizeState, ForeignLinesAreToldFromAnswers) {
  const TemporaryFolder folder;
  const std::string path = folder / "state.jsonl";
  std::ofstream(path) << "{}\n{\"window\": 3}\n";
  EXPECT_TRUE(error_of([&] { LocalizeState(path, "{}"); }).starts_with("bad_file: "));
}

TEST(LocalizeState, NumbersThatNoRunWritesAreRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "state.jsonl";
  {
    LocalizeState state(path, "{}");
    state.keep("q", kWindow, some_answer());
  }
  std::ifstream file(path);
  const std::string kept((std::istreambuf_iterator<char>(file)), {});
  for (const auto& [sound, other] : std::vector<std::pair<std::string, std::string>>{
           {"\"video_tokens\":40", "\"video_tokens\":-4000000"},
           {"\"video_tokens\":40", "\"video_tokens\":1e300"},
           {"\"certainty\":0.25", "\"certainty\":7"},
           {"\"yes\":0.75", "\"yes\":-1"},
           {"\"of_entries\":[0.5]", "\"of_entries\":[2]"},
           {"\"fps\":2.0", "\"fps\":-2"},
           {"[0.0,0.5]", "[0.5,0.0]"}}) {
    std::string changed = kept;
    const std::size_t at = changed.find(sound);
    ASSERT_NE(at, std::string::npos) << kept;
    std::ofstream(path) << changed.replace(at, sound.size(), other);
    EXPECT_TRUE(error_of([&] { LocalizeState(path, "{}"); }).starts_with("bad_file: ")) << other;
  }
}

TEST(LocalizeState, NoPathKeepsNothing) {
  LocalizeState state("", "{}");
  state.keep("q", kWindow, some_answer());
  EXPECT_EQ(state.find("q", kWindow), nullptr);
}

}  // namespace
}  // namespace qwenvl
