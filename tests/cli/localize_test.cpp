// qwenvl video localize from outside, with the demo model, which knows such videos.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "run_program.h"
#include "support/made_video.h"

namespace qwenvl::testing {
namespace {

using Json = nlohmann::json;

constexpr const char* kQuery = "a red square moves to the right";

class Localize : public ::testing::Test {
 protected:
  Outcome localize(const std::vector<std::string>& more, const std::string& query = kQuery) {
    std::vector<std::string> arguments = {"video", "localize", video(), query, "-m", "demo"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  Json localize_json(std::vector<std::string> more, const std::string& query = kQuery) {
    more.emplace_back("--json");
    const Outcome outcome = localize(more, query);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return Json::parse(outcome.out, nullptr, false);
  }
  // A minute in which two things happen.
  std::string video() {
    const std::string path = folder_ / "minute.mp4";
    if (!std::filesystem::exists(path)) {
      MadeVideo::even(112, 112, 8, 60, {{12, 16, {40, 90, 210}}, {40, 44.5, {214, 40, 40}}})
          .written(path);
    }
    return path;
  }

  TemporaryFolder folder_;
};

TEST_F(Localize, FindsTheEventThatWasAskedForAmongOthers) {
  const Json json = localize_json({});
  ASSERT_FALSE(json.at("events").empty());
  const Json& event = json["events"][0];
  EXPECT_NEAR(event.at("begin").get<double>(), 40, 0.8);
  EXPECT_NEAR(event.at("end").get<double>(), 44.5, 0.8);
  EXPECT_EQ(event.at("description"), "A red square moves to the right.");
  EXPECT_GT(event.at("confidence").get<double>(), 0.5);
  const Json blue = localize_json({}, "a blue square moves to the right");
  ASSERT_FALSE(blue.at("events").empty());
  EXPECT_NEAR(blue["events"][0].at("begin").get<double>(), 12, 0.8);
}

TEST_F(Localize, KeepsToTheBudgetAndSaysSoWhenNothingFits) {
  EXPECT_LE(localize_json({"--max-video-tokens", "200"}).at("video_tokens").get<int>(), 200);
  const Outcome outcome = localize({"--max-video-tokens", "20"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("budget of 20 tokens"), std::string::npos) << outcome.err;
}

TEST_F(Localize, GoesOnFromItsStateFileAndRefusesThatOfAnotherVideo) {
  const std::string state = folder_ / "state.jsonl";
  const Json first = localize_json({"--state", state});
  EXPECT_EQ(first.at("known_answers"), 0);
  // As if it had been stopped after the first answer.
  std::string kept;
  std::ifstream lines(state);
  std::string line;
  for (int i = 0; i < 3 && std::getline(lines, line); ++i) kept += line + "\n";
  std::ofstream(state) << kept;
  const Json again = localize_json({"--state", state});
  EXPECT_EQ(again.at("known_answers"), 1);
  EXPECT_EQ(again.at("events"), first.at("events"));
  EXPECT_EQ(again.at("video_tokens"), first.at("video_tokens"));
  const Outcome other = localize({"--state", state, "--video-end", "30"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("name another file"), std::string::npos) << other.err;
}

TEST_F(Localize, RefusesAStateFileOfAnotherVideoOfTheSameNameAndLength) {
  const std::string state = folder_ / "state.jsonl";
  localize_json({"--state", state});
  MadeVideo::even(112, 112, 8, 60, {{20, 24, {40, 90, 210}}}).written(video());
  const Outcome other = localize({"--state", state});
  EXPECT_EQ(other.exit_code, 2) << other.out;
  EXPECT_NE(other.err.find("name another file"), std::string::npos) << other.err;
}

TEST_F(Localize, RefusesAStateFileWhoseTimesLieOutsideTheVideo) {
  const std::string state = folder_ / "state.jsonl";
  localize_json({"--state", state});
  const std::string text = read_whole(state);
  const std::string identity = text.substr(0, text.find('\n') + 1);
  for (const char* stretches : {"[[-1e300,1e300,1]]", "[[1e300,1e300,1]]", "[[5,1,1]]"}) {
    std::ofstream(state) << identity << "{\"stretches\":" << stretches << "}\n";
    const Outcome outcome = localize({"--state", state});
    EXPECT_EQ(outcome.exit_code, 3) << stretches;
    EXPECT_NE(outcome.err.find("delete the file"), std::string::npos) << outcome.err;
  }
}

TEST_F(Localize, TakesHighRatesInShortWindows) {
  const Outcome outcome = localize({"--fps", "8", "--window-frames", "8"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST_F(Localize, CtrlCKeepsWhatWasAnswered) {
  const std::string state = folder_ / "state.jsonl";
  Running running({"video", "localize", video(), kQuery, "-m", "demo", "--state", state});
  const auto n_lines = [&] {
    const std::string text = read_whole(state);
    return std::count(text.begin(), text.end(), '\n');
  };
  while (n_lines() < 3 && !running.is_over())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  running.interrupt();
  const Outcome outcome = running.wait();
  EXPECT_TRUE(outcome.exit_code == 130 || outcome.exit_code == 0) << outcome.exit_code;
  EXPECT_GE(localize_json({"--state", state}).at("known_answers").get<int>(), 1);
}

TEST_F(Localize, CutsClipsAndDrawsASheet) {
  const std::string clips = folder_ / "found", sheet = folder_ / "sheet.png";
  const Outcome outcome = localize({"--clips", clips, "--sheet", sheet});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_FALSE(std::filesystem::is_empty(clips));
  EXPECT_EQ(read_whole(sheet).substr(1, 3), "PNG");
  EXPECT_NE(outcome.err.find("encoded anew"), std::string::npos) << outcome.err;
}

TEST_F(Localize, SaysWhatIsWrongBeforeAnyWorkIsDone) {
  EXPECT_EQ(run({"video", "localize", "none.mp4", "x", "-m", "demo"}).exit_code, 3);
  EXPECT_EQ(localize({"--sheet", "/no/such/folder/a.png"}).exit_code, 2);
  const Outcome folder = localize({"--sheet", "/tmp"});
  EXPECT_EQ(folder.exit_code, 2);
  EXPECT_EQ(folder.out, "");
  EXPECT_EQ(localize({"--sheet", video()}).exit_code, 2);
  EXPECT_EQ(localize({"--video-start", "nan"}).exit_code, 2);
  EXPECT_EQ(localize({}, "").exit_code, 2);
  EXPECT_EQ(run({"video"}).exit_code, 2);
}

TEST_F(Localize, AskLocalizesToo) {
  const Outcome outcome = run({"ask", video(), kQuery, "--localize", "-m", "demo", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  ASSERT_FALSE(json.at("events").empty());
  EXPECT_NEAR(json["events"][0].at("begin").get<double>(), 40, 0.8);
  EXPECT_EQ(run({"ask", "just text", "--localize", "-m", "demo"}).exit_code, 2);
  EXPECT_EQ(run({"ask", video(), "text", "--state", "x", "-m", "demo"}).exit_code, 2);
}

TEST_F(Localize, AskRefusesWhatASearchHasNoUseFor) {
  for (const std::vector<std::string>& useless : {std::vector<std::string>{"--boxes", "x.png"},
                                                  {"--stats"},
                                                  {"--max-new-tokens", "3"},
                                                  {"--system", "Be brief."},
                                                  {"--stop", "x"}}) {
    std::vector<std::string> arguments = {"ask", video(), kQuery, "--localize", "-m", "demo"};
    arguments.insert(arguments.end(), useless.begin(), useless.end());
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << useless[0];
    EXPECT_NE(outcome.err.find(useless[0]), std::string::npos) << outcome.err;
  }
}

TEST_F(Localize, AskTellsTimesInSecondsOfTheWholeVideo) {
  const std::vector<std::string> arguments = {
      "ask",
      video(),
      "--video-start",
      "39",
      "--video-end",
      "47",
      "--greedy",
      "-m",
      "demo",
      "Give the query: 'a red square moves to the right', when does the described content occur in "
      "the video?"};
  const Outcome plain = run(arguments);
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_NE(plain.err.find("s of the video (00:4"), std::string::npos) << plain.err;
  std::vector<std::string> as_json = arguments;
  as_json.emplace_back("--json");
  const Json json = Json::parse(run(as_json).out);
  const Json& times = json.at("choices")[0].at("times");
  ASSERT_EQ(times.size(), 1u);
  EXPECT_NEAR(times[0].at("begin").get<double>(), 40, 0.8);
  EXPECT_NEAR(times[0].at("end").get<double>(), 44.5, 0.8);
}

}  // namespace
}  // namespace qwenvl::testing
