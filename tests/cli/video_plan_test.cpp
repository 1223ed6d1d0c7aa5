// qwenvl video plan from outside: a scene cut and a thing that moves, both made here.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "media/image.h"
#include "run_program.h"
#include "support/made_video.h"

namespace qwenvl::testing {
namespace {

using Json = nlohmann::json;

class VideoPlanCommand : public ::testing::Test {
 protected:
  Outcome plan(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"video", "plan", video(), "-m", "demo"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  // Half a minute in which something moves for four seconds.
  std::string video() {
    const std::string path = folder_ / "half_minute.mp4";
    if (!std::filesystem::exists(path))
      MadeVideo::even(112, 112, 10, 30, {{12, 16, {40, 90, 210}}}).written(path);
    return path;
  }

  TemporaryFolder folder_;
};

TEST_F(VideoPlanCommand, ListsEveryPairWithItsTimeReasonAndCost) {
  const Outcome outcome = plan({"--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json.at("frames"), 300);
  EXPECT_EQ(json.at("signals").at("seconds").size(), json.at("signals").at("motion").size());
  int tokens = 0, in_event = 0;
  double last = -1;
  for (const Json& pair : json.at("plan").at("pairs")) {
    tokens += pair.at("tokens").get<int>();
    const double seconds = pair.at("seconds").get<double>();
    EXPECT_GE(seconds, last);
    last = seconds;
    in_event += seconds >= 11.5 && seconds <= 16.5 ? 1 : 0;
  }
  EXPECT_EQ(tokens, json.at("plan").at("tokens"));
  // A sixth of the video gets most of what is seen.
  EXPECT_GT(2 * in_event, static_cast<int>(json["plan"]["pairs"].size()));
  EXPECT_GT(json.at("uniform").at("tokens"), 0);
}

TEST_F(VideoPlanCommand, SaysTheSameInWordsAndNeverExceedsTheBudget) {
  const Outcome outcome = plan({"--max-video-tokens", "200"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("half_minute.mp4: 112 x 112, 300 frames"), std::string::npos);
  EXPECT_NE(outcome.out.find(" of 200"), std::string::npos) << outcome.out;
  const Json json = Json::parse(plan({"--max-video-tokens", "200", "--json"}).out);
  EXPECT_LE(json.at("plan").at("tokens"), 200);
  // What two frames of each second would take is told without this budget.
  EXPECT_GT(json.at("uniform").at("tokens"), 200);
}

TEST_F(VideoPlanCommand, DrawsWhatItMeasuredAndChose) {
  const std::string plot = folder_ / "plan.svg";
  const Outcome outcome = plan({"--plot", plot});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::string svg = read_whole(plot);
  EXPECT_EQ(svg.substr(0, 4), "<svg");
  for (const char* row : {">cut<", ">motion<", ">text<", ">stillness<", ">pairs<"})
    EXPECT_NE(svg.find(row), std::string::npos) << row;
}

TEST_F(VideoPlanCommand, DrawsTheSamePlotAsPng) {
  const std::string plot = folder_ / "plan.png";
  const Outcome outcome = plan({"--plot", plot});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::string bytes = read_whole(plot);
  const Image page = decode_image(std::as_bytes(std::span(bytes)), plot, Loader::hf);
  EXPECT_EQ(page.width, 2 * 860);
  // White paper with something on it.
  EXPECT_EQ(page.rgb.front(), 255);
  EXPECT_LT(*std::min_element(page.rgb.begin(), page.rgb.end()), 64);
}

TEST_F(VideoPlanCommand, ShowsThePartThatWasAskedForAndNoMoreThanThereIs) {
  const std::string plot = folder_ / "plan.svg";
  const Outcome outcome =
      plan({"--video-start", "10", "--video-end", "1e18", "--json", "--plot", plot});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json seconds = Json::parse(outcome.out).at("signals").at("seconds");
  EXPECT_GE(seconds.front().get<double>(), 10);
  EXPECT_NE(read_whole(plot).find(">0:30.0<"), std::string::npos);
}

TEST_F(VideoPlanCommand, ARefusalLeavesAnOlderPlotAsItIsAndMakesNoNewOne) {
  const std::string plot = folder_ / "plan.svg";
  std::ofstream(plot) << "an older plot";
  EXPECT_EQ(plan({"--plot", plot, "--max-video-tokens", "4"}).exit_code, 2);
  EXPECT_EQ(read_whole(plot), "an older plot");
  const std::string fresh = folder_ / "fresh.svg";
  EXPECT_EQ(plan({"--plot", fresh, "--max-video-tokens", "4"}).exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(fresh));
}

TEST_F(VideoPlanCommand, RefusesWhatItCannotDo) {
  struct Refused {
    std::vector<std::string> arguments;
    const char* message;
  };
  for (const Refused& refused :
       {Refused{{"--plot", "plan.pdf"}, "'plan.pdf' ends neither in .svg nor in .png"},
        Refused{{"--max-video-tokens", "4"}, "4"},
        Refused{{"--video-start", "40"}, "no frame between 40 s"}}) {
    const Outcome outcome = plan(refused.arguments);
    EXPECT_EQ(outcome.exit_code, 2) << refused.message;
    EXPECT_NE(outcome.err.find(refused.message), std::string::npos) << outcome.err;
  }
  const Outcome tight_uniform = plan({"--sampling", "uniform", "--max-video-tokens", "200"});
  EXPECT_EQ(tight_uniform.exit_code, 2) << tight_uniform.out;
  const Outcome missing = run({"video", "plan", folder_ / "none.mp4", "-m", "demo"});
  EXPECT_NE(missing.exit_code, 0);
  EXPECT_NE(missing.err.find("none.mp4"), std::string::npos) << missing.err;
}

}  // namespace
}  // namespace qwenvl::testing
