// Every way in which answers name times, whole, damaged and hostile.
#include "text/time_spans.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "text/label_text.h"

namespace qwenvl {
namespace {

using Lines = std::vector<std::string>;

// "2 - 5" and "at 3", one per span.
Lines times_in(std::string_view answer) {
  Lines out;
  for (const FoundSpan& span : scan_spans(answer)) {
    out.push_back(span.is_moment ? fmt::format("at {:g}", span.begin)
                                 : fmt::format("{:g} - {:g}", span.begin, span.end));
  }
  return out;
}

Lines descriptions_in(std::string_view answer) {
  Lines out;
  for (const FoundSpan& span : scan_spans(answer)) out.push_back(span.description);
  return out;
}

TEST(TimeSpans, GroundingSentences) {
  EXPECT_EQ(times_in("The given query happens in 64.0 - 72.0 seconds."), (Lines{"64 - 72"}));
  EXPECT_EQ(times_in("It happens from 2 to 5.5 seconds and from 8s to 9s"),
            (Lines{"2 - 5.5", "8 - 9"}));
  EXPECT_EQ(times_in("between 2 and 5 s"), (Lines{"2 - 5"}));
  EXPECT_EQ(times_in("starts at 3 s and ends at 7.25 s"), (Lines{"3 - 7.25"}));
  EXPECT_EQ(times_in("2–5 seconds, 6—7 sec, 8~9secs"), (Lines{"2 - 5", "6 - 7", "8 - 9"}));
}

TEST(TimeSpans, MinutesAndHoursInWords) {
  EXPECT_EQ(times_in("from 1 minute 5 seconds to 2 min"), (Lines{"65 - 120"}));
  EXPECT_EQ(times_in("2 - 5 minutes"), (Lines{"120 - 300"}));
  EXPECT_EQ(times_in("at 1h2m3s"), (Lines{"at 3723"}));
  EXPECT_EQ(times_in("at 1 hour and 2 minutes"), (Lines{"at 3720"}));
}

TEST(TimeSpans, Clocks) {
  EXPECT_EQ(times_in("00:12 - 01:05.50"), (Lines{"12 - 65.5"}));
  EXPECT_EQ(times_in("from 1:02:03 to 01:02:04,250."), (Lines{"3723 - 3724.25"}));
  EXPECT_EQ(times_in("The car stops at 00:07."), (Lines{"at 7"}));
  EXPECT_EQ(times_in("120:00 to 121:59.99"), (Lines{"7200 - 7319.99"}));
}

TEST(TimeSpans, ChineseSeconds) {
  EXPECT_EQ(times_in("有。2.0 - 5.0秒有人摔倒。"), (Lines{"2 - 5"}));
  EXPECT_EQ(times_in("从2秒到5秒"), (Lines{"2 - 5"}));
  EXPECT_EQ(times_in("第3秒至第1分5秒"), (Lines{"3 - 65"}));
  EXPECT_EQ(times_in("在第3.5秒"), (Lines{"at 3.5"}));
}

TEST(TimeSpans, WhatIsNoTime) {
  for (const char* text : {"", "no", "3 cups", "16:9", "1920x1080", "it lasts for 5 seconds",
                           "page 3 - 5", "1:2:3", "00:61", "12:30pm", "00:00:00:05", "a1:30", "5 m",
                           "123456789012345 s", "2 -", "in 2024 - 2025", "3.4.5:00x"}) {
    EXPECT_EQ(times_in(text), Lines{}) << text;
  }
}

TEST(TimeSpans, ReversedTimesArePutInOrder) {
  EXPECT_EQ(times_in("5.0 - 2.0 seconds"), (Lines{"2 - 5"}));
}

TEST(TimeSpans, FencedJsonList) {
  const std::string answer =
      "```json\n[\n{\"start_time\": \"00:01.00\", \"end_time\": \"01:06.50\", \"description\": "
      "\"A car moves.\"},\n{\"start_time\": \"00:08.00\", \"end_time\": \"00:09.00\", "
      "\"description\": \"It stops at 00:09.\"}\n]\n```";
  EXPECT_EQ(times_in(answer), (Lines{"1 - 66.5", "8 - 9"}));
  EXPECT_EQ(descriptions_in(answer), (Lines{"A car moves.", "It stops at 00:09."}));
}

TEST(TimeSpans, OtherKeysAndNumbers) {
  EXPECT_EQ(times_in(R"([{"start": 1.5, "end": 3, "event": "x"}])"), (Lines{"1.5 - 3"}));
  EXPECT_EQ(times_in(R"({"timestamp": [2, "00:05"], "label": "x"})"), (Lines{"2 - 5"}));
  EXPECT_EQ(times_in(R"({"time": "2.0 - 5.0 seconds"})"), (Lines{"2 - 5"}));
  EXPECT_EQ(times_in(R"({"start_time": "3s", "end_time": "1 min 2 s"})"), (Lines{"3 - 62"}));
}

TEST(TimeSpans, CutOffJsonKeepsWhatIsWhole) {
  const std::string answer =
      "```json\n[{\"start_time\": \"00:01.00\", \"end_time\": \"00:06.50\", \"description\": \"A\"}"
      ",{\"start_time\": \"00:08.00\", \"end_time\": \"00:09.00\", \"description\": \"B go";
  EXPECT_EQ(times_in(answer), (Lines{"1 - 6.5", "8 - 9"}));
  EXPECT_EQ(descriptions_in(answer), (Lines{"A", "B go"}));
  EXPECT_EQ(times_in(R"([{"start_time": "00:08.00", "end_time": "00:0)"), Lines{});
  EXPECT_EQ(times_in(R"([{"start_time": 1, "end_time": 2}, {"start_time": "00:08.00")"),
            (Lines{"1 - 2"}));
}

TEST(TimeSpans, ProseIsDescribedByItsSentence) {
  EXPECT_EQ(descriptions_in("Yes. A person falls down at 3.0 - 5.0 seconds. Then nothing."),
            (Lines{"A person falls down at 3.0 - 5.0 seconds."}));
  EXPECT_EQ(descriptions_in("有。2.0 - 5.0秒着火。好"), (Lines{"2.0 - 5.0秒着火。"}));
}

TEST(TimeSpans, HostileTextTakesLinearTimeAndBoundedLabels) {
  EXPECT_EQ(scan_spans(std::string(200'000, '{')).size(), 0u);
  EXPECT_EQ(scan_spans(std::string(200'000, '1')).size(), 0u);
  std::string many;
  for (int i = 0; i < 20'000; ++i) many += "1 - 2 s, ";
  EXPECT_EQ(scan_spans(many).size(), 20'000u);
  const std::string label(100'000, 'x');
  const auto spans = scan_spans(R"({"start": 1, "end": 2, "event": ")" + label + "\"}");
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_LE(spans[0].description.size(), kMaxLabelBytes + 3);
}

}  // namespace
}  // namespace qwenvl
