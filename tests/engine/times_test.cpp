// Times of answers in seconds of the original video.
#include "qwenvl/times.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/error_of.h"

namespace qwenvl {
namespace {

// Four frames at 2 a second, shown a little later each time, from the tenth second on.
ClipInfo seen() {
  ClipInfo clip;
  clip.n_frames = 4;
  clip.fps = 2;
  clip.frame_seconds = {10, 10.5, 11.25, 11.5};
  return clip;
}

TimeSpan span(double begin, double end) { return {begin, end, "", false, false}; }

TEST(Times, FollowTheFramesThatWereSeen) {
  const TimeSpan first = to_video_time(span(0, 1), seen());
  EXPECT_DOUBLE_EQ(first.begin, 10);
  EXPECT_DOUBLE_EQ(first.end, 11.25);
  const TimeSpan between = to_video_time(span(0.75, 1.25), seen());
  EXPECT_DOUBLE_EQ(between.begin, 10.875);
  EXPECT_DOUBLE_EQ(between.end, 11.375);
}

TEST(Times, TheLastFrameLastsAsLongAsTheOthers) {
  EXPECT_DOUBLE_EQ(to_video_time(span(1, 2), seen()).end, 12);
  EXPECT_DOUBLE_EQ(to_video_time(span(1, 9), seen()).end, 12);  // cut off there
}

TEST(Times, NothingLiesBehindTheEndOfTheVideo) {
  ClipInfo clip = seen();
  clip.n_video_frames = 30;
  clip.video_end_seconds = 11.6;
  EXPECT_DOUBLE_EQ(to_video_time(span(1, 2), clip).end, 11.6);
}

TEST(Times, WhatLiesBehindAllThatWasSeenIsOutside) {
  EXPECT_TRUE(to_video_time(span(64, 72), seen()).is_outside);
  EXPECT_FALSE(to_video_time(span(1.5, 72), seen()).is_outside);
}

TEST(Times, UnevenFramesHaveTheirTrueTimes) {
  ClipInfo clip = seen();
  clip.seconds = 2;
  clip.pairs.resize(2);
  clip.pairs[0].why = Moment::motion;
  EXPECT_DOUBLE_EQ(to_video_time(span(1, 1.25), clip).begin, 11);
  EXPECT_DOUBLE_EQ(to_video_time(span(1, 1.25), clip).end, 11.25);
  EXPECT_DOUBLE_EQ(to_video_time(span(1, 9), clip).end, 12);
  EXPECT_TRUE(to_video_time(span(3, 9), clip).is_outside);
}

TEST(Times, AListOfFramesIsItsOwnOriginal) {
  ClipInfo clip = seen();
  clip.frame_seconds.clear();
  EXPECT_DOUBLE_EQ(to_video_time(span(0.5, 1.5), clip).end, 1.5);
}

TEST(Times, AClipThatIsNoneIsRefused) {
  EXPECT_TRUE(error_of([] { to_video_time(span(0, 1), {}); }).starts_with("bad_request: "));
}

TEST(Times, ClocksShowHundredthsAndHoursOnlyWhereThereAreAny) {
  EXPECT_EQ(clock_text(0), "00:00.00");
  EXPECT_EQ(clock_text(72.499), "01:12.50");
  EXPECT_EQ(clock_text(3599.996), "1:00:00.00");
  EXPECT_EQ(clock_text(-3), "00:00.00");
  EXPECT_TRUE(error_of([] {
                clock_text(std::numeric_limits<double>::infinity());
              }).starts_with("bad_request: "));
}

}  // namespace
}  // namespace qwenvl
