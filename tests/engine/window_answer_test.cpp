// How answers about a window are weighed.
#include "engine/video/window_answer.h"

#include <gtest/gtest.h>

#include <cmath>

namespace qwenvl {
namespace {

WindowAnswer seen_from_100(const std::string& text, std::vector<double> of_entries = {}) {
  WindowAnswer answer;
  answer.text = text;
  answer.certainty = 0.5;
  answer.of_entries = std::move(of_entries);
  answer.clip_fps = 2;
  for (int i = 0; i < 8; ++i) answer.frame_seconds.push_back(100 + 0.5 * i);
  return answer;
}

TEST(WindowAnswer, LikenessIgnoresOrderArticlesAndCase) {
  EXPECT_DOUBLE_EQ(likeness("A blue tree moves down.", "the blue tree MOVES down"), 1);
  EXPECT_LT(likeness("A blue tree moves down.", "a blue tree moves up"), 0.5);
  EXPECT_GT(likeness("A blue tree moves down.", "a blue tree moves up"), 0.3);
  EXPECT_DOUBLE_EQ(likeness("", "a blue tree"), 0);
  EXPECT_DOUBLE_EQ(likeness("红色的车。", "红色的车"), 1);
}

TEST(WindowAnswer, EventsOfAListAreWeighedByTheirWordsAndTheirOwnProbability) {
  const auto spans = scored_spans(
      seen_from_100(R"([{"start_time": "00:01.00", "end_time": "00:02.00", "description": "a cat"},
                        {"start_time": "00:02.50", "end_time": "00:03.00", "description": "a dog"}])",
                    {0.9, 0.8}),
      Question::events, "a dog");
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_DOUBLE_EQ(spans[0].score, 0);
  EXPECT_DOUBLE_EQ(spans[1].score, 0.8);
  EXPECT_DOUBLE_EQ(spans[1].begin, 102.5);
  EXPECT_DOUBLE_EQ(spans[1].end, 103);
}

TEST(WindowAnswer, AnIntervalIsWeighedByTheCertaintyOfTheAnswer) {
  const auto spans = scored_spans(seen_from_100("The given query happens in 1.0 - 2.0 seconds."),
                                  Question::when, "a dog");
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_DOUBLE_EQ(spans[0].begin, 101);
  EXPECT_DOUBLE_EQ(spans[0].score, 0.5);
  EXPECT_EQ(spans[0].description, "a dog");
}

TEST(WindowAnswer, TimesThatWereNotSeenCountNothing) {
  EXPECT_TRUE(scored_spans(seen_from_100("in 64.0 - 72.0 seconds"), Question::when, "x").empty());
  EXPECT_TRUE(scored_spans(seen_from_100("never"), Question::when, "x").empty());
  EXPECT_TRUE(scored_spans(WindowAnswer{}, Question::when, "x").empty());
}

TEST(WindowAnswer, ProbabilitiesOfYesAndNoAreSummedOverTheirSpellings) {
  Answer answer;
  Choice choice;
  choice.text = "Yes";
  TokenInfo token;
  token.chosen = {1, "Yes", std::log(0.5f)};
  token.top = {{1, "Yes", std::log(0.5f)}, {2, " yes", std::log(0.25f)}, {3, "No", std::log(0.1f)}};
  choice.tokens = {token};
  answer.choices = {choice};
  const WindowAnswer weighed = window_answer(answer);
  EXPECT_NEAR(weighed.yes, 0.75, 1e-6);
  EXPECT_NEAR(weighed.no, 0.1, 1e-6);
  EXPECT_NEAR(weighed.certainty, 0.5, 1e-6);
}

}  // namespace
}  // namespace qwenvl
