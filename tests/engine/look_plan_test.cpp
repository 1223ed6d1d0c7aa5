// Which windows of a video are looked at, and that the budget holds whatever the length.
#include "engine/video/look_plan.h"

#include <gtest/gtest.h>

#include <cmath>

namespace qwenvl {
namespace {

LookWish wish_of(double length, std::int64_t most_pairs) {
  LookWish wish;
  wish.end = length;
  wish.fps = 2;
  wish.most_pairs = most_pairs;
  return wish;
}

std::int64_t pairs_of(const std::vector<LookWindow>& windows) {
  std::int64_t n = 0;
  for (const LookWindow& window : windows) n += window.n_pairs();
  return n;
}

std::vector<Stretch> stretches_every(double seconds, double length) {
  std::vector<Stretch> out;
  for (double t = seconds; t + 5 < length; t += seconds) out.push_back({t, t + 4, t});
  return out;
}

TEST(LookPlan, QuietSeparatesStretches) {
  const auto stretches = active_stretches({{1, 0.1}, {1.5, 0.2}, {2, 0}, {4, 0.1}, {5, 0.0001}}, 1);
  ASSERT_EQ(stretches.size(), 2u);
  EXPECT_DOUBLE_EQ(stretches[0].begin, 1);
  EXPECT_DOUBLE_EQ(stretches[0].end, 1.5);
  EXPECT_NEAR(stretches[0].weight, 0.3, 1e-12);
  EXPECT_DOUBLE_EQ(stretches[1].begin, 4);
}

TEST(LookPlan, AWindowBeginsInTheQuietBeforeAndEndsInTheQuietAfter) {
  const auto windows = coarse_windows({{20, 24, 1}}, wish_of(100, 1000));
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_DOUBLE_EQ(windows[0].begin, 19);
  EXPECT_DOUBLE_EQ(windows[0].end, 25);
  EXPECT_DOUBLE_EQ(windows[0].fps, 2);
}

TEST(LookPlan, EveryActiveMomentIsInAWindow) {
  const std::vector<Stretch> stretches = {{0, 1, 1},   {3, 4, 1},   {9, 40, 1},
                                          {41, 42, 1}, {60, 61, 1}, {99, 100, 1}};
  const auto windows = coarse_windows(stretches, wish_of(100, 1000));
  for (const Stretch& stretch : stretches) {
    for (double t = stretch.begin; t <= stretch.end; t += 0.25) {
      bool is_seen = false;
      for (const LookWindow& w : windows) is_seen = is_seen || (w.begin <= t && t <= w.end);
      EXPECT_TRUE(is_seen) << t;
    }
  }
  for (const LookWindow& w : windows) EXPECT_LE((w.end - w.begin) * w.fps, 16 + 1e-9);
}

TEST(LookPlan, WindowsShorterThanTheQuietAroundThemStillComeToAnEnd) {
  for (const double fps : {7.0, 8.0, 10.0, 60.0}) {
    LookWish wish = wish_of(30, 100'000);
    wish.fps = fps;
    const auto windows = coarse_windows({{5, 5.1, 1}, {10, 20, 1}}, wish);
    ASSERT_FALSE(windows.empty());
    EXPECT_LT(windows.size(), 200u) << fps;
    double seen = 10;
    for (const LookWindow& w : windows) {
      EXPECT_LE((w.end - w.begin) * w.fps, 16 + 1e-9) << fps;
      if (w.begin <= seen) seen = std::max(seen, w.end);
    }
    EXPECT_GE(seen, 20) << fps;
  }
}

TEST(LookPlan, NoActivityMeansAllIsLookedAt) {
  const auto windows = coarse_windows({}, wish_of(60, 1000));
  ASSERT_FALSE(windows.empty());
  EXPECT_DOUBLE_EQ(windows.front().begin, 0);
  EXPECT_DOUBLE_EQ(windows.back().end, 60);
}

TEST(LookPlan, TheBudgetHoldsAtAnyLength) {
  for (const double length : {10.0, 30.0, 300.0, 3600.0, 36'000.0}) {
    for (const std::int64_t budget : {8, 100, 800}) {
      const auto windows = coarse_windows(stretches_every(20, length), wish_of(length, budget));
      EXPECT_LE(pairs_of(windows), budget) << length;
    }
  }
}

TEST(LookPlan, LowerRatesComeFirstAndThenTheLeastActiveWindowsAreLeftOut) {
  const auto some = coarse_windows(stretches_every(20, 1000), wish_of(1000, 200));
  EXPECT_EQ(some.size(), coarse_windows(stretches_every(20, 1000), wish_of(1000, 9999)).size());
  EXPECT_LT(some[0].fps, 2);
  const auto few = coarse_windows(stretches_every(20, 10'000), wish_of(10'000, 40));
  ASSERT_FALSE(few.empty());
  EXPECT_GT(few.front().begin, 5000);  // weights grow with time here
}

TEST(LookPlan, FineWindowsHoldTheirSpanAndNoMoreFramesThanAllowed) {
  const LookWish wish = wish_of(100, 1000);
  const LookWindow usual = fine_window(40, 44, 1, wish);
  EXPECT_DOUBLE_EQ(usual.begin, 39);
  EXPECT_DOUBLE_EQ(usual.end, 45);
  const LookWindow shortest = fine_window(99.5, 100, 1, wish);
  EXPECT_DOUBLE_EQ(shortest.begin, 96);
  EXPECT_DOUBLE_EQ(shortest.end, 100);
  const LookWindow longest = fine_window(10, 90, 1, wish);
  EXPECT_LE((longest.end - longest.begin) * longest.fps, 16 + 1e-9);
}

}  // namespace
}  // namespace qwenvl
