// The promises of the planner, over drawn signals and random ones.
#include "media/video/analysis/frame_planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/check.h"
#include "media/video/analysis/segments.h"
#include "support/drawn_video.h"
#include "support/error_of.h"

namespace qwenvl {
namespace {

FrameIndex index_of(double fps, double seconds) {
  FrameIndex index;
  const auto n = static_cast<std::int64_t>(std::lround(fps * seconds));
  for (std::int64_t i = 0; i < n; ++i) index.seconds.push_back(static_cast<double>(i) / fps);
  index.end_seconds = static_cast<double>(n) / fps;
  return index;
}

SignalTrack quiet_track(const FrameIndex& index) {
  SignalTrack track;
  for (std::int64_t i = 0; i < index.size(); ++i)
    track.moments.push_back({static_cast<std::uint32_t>(i)});
  return track;
}

PlanBudget budget_of(std::int64_t tokens, std::int64_t frames = 768) {
  return {tokens, frames, [](double detail) { return std::llround(100 * detail); }};
}

FrameSchedule no_even_schedule(double) {
  ADD_FAILURE() << "an even schedule was asked for";
  return {};
}

// As an even sampler does: as many frames as fit, an even number.
std::function<FrameSchedule(double)> even_sampler(const FrameIndex& index) {
  return [&index](double fps) {
    const double seconds = index.end_seconds - index.seconds.front();
    const auto n = std::max<std::int64_t>(2, static_cast<std::int64_t>(seconds * fps) / 2 * 2);
    FrameSchedule out;
    for (std::int64_t i = 0; i < n; ++i)
      out.frames.push_back(
          std::llround(static_cast<double>(i * (index.size() - 1)) / static_cast<double>(n - 1)));
    out.fps = static_cast<double>(n) / seconds;
    return out;
  };
}

// Motion, text and cuts at random, as bursts.
SignalTrack random_track(const FrameIndex& index, std::uint64_t seed) {
  test::Random random(seed);
  SignalTrack track = quiet_track(index);
  const auto n = static_cast<int>(index.size());
  for (int burst = random.whole(0, 60); burst > 0; --burst) {
    const int at = random.whole(0, n - 1), length = random.whole(1, 90);
    const int kind = random.whole(0, 4);
    for (int i = at; i < std::min(n, at + (kind % 2 == 0 ? 1 : length)); ++i) {
      MeasuredMoment& m = track.moments[static_cast<std::size_t>(i)];
      (kind == 0   ? m.cut
       : kind == 1 ? m.motion
       : kind == 2 ? m.text
       : kind == 3 ? m.change
                   : m.text_gone) = static_cast<std::uint8_t>(random.whole(0, 255));
    }
  }
  return track;
}

TEST(FramePlanner, NeverExceedsTheBudgetNorStraddlesACut) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    test::Random random(seed + 1000);
    const FrameIndex index = index_of(random.uniform(1, 60), random.uniform(2, 200));
    if (index.size() < 4) continue;
    const SignalTrack track = random_track(index, seed);
    const DynamicSampling wish;
    const PlanBudget budget = budget_of(random.whole(100, 20000), random.whole(2, 800));
    PlannedFrames plan;
    try {
      plan = plan_frames(index, track, wish, budget, even_sampler(index));
    } catch (const Error& e) {
      FAIL() << seed << ": " << e.what();
    }
    const FrameSchedule& s = plan.schedule;
    ASSERT_LE(plan.n_tokens, budget.max_tokens) << seed;
    ASSERT_LE(static_cast<std::int64_t>(s.frames.size()), budget.max_frames) << seed;
    ASSERT_GE(s.frames.size(), 2u) << seed;
    ASSERT_EQ(s.frames.size() % 2, 0u) << seed;
    ASSERT_TRUE(std::is_sorted(s.frames.begin(), s.frames.end())) << seed;
    ASSERT_GE(s.frames.front(), 0);
    ASSERT_LT(s.frames.back(), index.size());
    if (s.pair_seconds.empty()) continue;  // even
    ASSERT_EQ(s.pair_seconds.size(), s.frames.size() / 2);
    std::int64_t tokens = 0;
    for (std::size_t k = 0; k < s.pair_seconds.size(); ++k) {
      tokens += budget.pair_tokens(s.pair_detail[k]);
      const auto first = static_cast<std::size_t>(s.frames[2 * k]);
      ASSERT_EQ(s.pair_seconds[k],
                index.seconds[first] - index.seconds[static_cast<std::size_t>(s.frames[0])]);
      for (std::int64_t f = s.frames[2 * k] + 1; f <= s.frames[2 * k + 1]; ++f) {
        ASSERT_LT(share_of(track.moments[static_cast<std::size_t>(f)].cut), wish.cut_threshold)
            << "pair " << k << " of seed " << seed;
      }
    }
    ASSERT_EQ(tokens, plan.n_tokens) << seed;
  }
}

TEST(FramePlanner, LeavesNoEventWithoutAPairWhileTheBudgetHasOneForEach) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const FrameIndex index = index_of(30, 60);
    const SignalTrack track = random_track(index, seed);
    const auto segments = segments_of(index, track, {});
    const auto n_events = std::count_if(segments.begin(), segments.end(),
                                        [](const Segment& s) { return s.is_event; });
    if (segments.size() == 1) continue;
    const PlannedFrames plan =
        plan_frames(index, track, {}, budget_of(100 * n_events), no_even_schedule);
    EXPECT_EQ(plan.n_left_out, 0);
    EXPECT_EQ(plan.n_events, n_events);
    for (const Segment& segment : segments) {
      // Text that stands is seen with the next, which ends such a row of texts.
      if (!segment.is_event || segment.is_seen_later) continue;
      bool is_seen = false;
      for (std::size_t k = 0; k < plan.schedule.frames.size(); k += 2) {
        is_seen = is_seen || (plan.schedule.frames[k] >= segment.first &&
                              plan.schedule.frames[k + 1] < segment.end);
      }
      EXPECT_TRUE(is_seen) << "seed " << seed << ", " << segment.begin_seconds << " s";
    }
  }
}

TEST(FramePlanner, KeepsOneOfEachGroupOfEventsWhereThereAreMoreThanPairs) {
  const FrameIndex index = index_of(30, 100);
  SignalTrack track = quiet_track(index);
  for (std::size_t i = 30; i < track.moments.size(); i += 30) track.moments[i].cut = 255;
  const PlannedFrames plan = plan_frames(index, track, {}, budget_of(1000), no_even_schedule);
  EXPECT_EQ(plan.schedule.frames.size(), 20u);
  EXPECT_EQ(plan.n_events, 100);
  EXPECT_EQ(plan.n_left_out, 90);
  for (std::size_t k = 0; k < 10; ++k)
    EXPECT_NEAR(index.seconds[static_cast<std::size_t>(plan.schedule.frames[2 * k])],
                10.0 * static_cast<double>(k) + 5, 5.5);
}

TEST(FramePlanner, LeavesOutFaintMotionsFirst) {
  const FrameIndex index = index_of(30, 60);
  SignalTrack track = quiet_track(index);
  for (std::size_t i = 60; i + 60 < track.moments.size(); i += 120) {
    const bool is_strong = i == 540 || i == 660;  // seconds 18 and 22
    for (std::size_t k = i; k < i + 15; ++k) track.moments[k].motion = is_strong ? 180 : 4;
  }
  const PlannedFrames plan = plan_frames(index, track, {}, budget_of(300), no_even_schedule);
  ASSERT_EQ(plan.schedule.frames.size(), 6u);  // the beginning and both
  EXPECT_NEAR(static_cast<double>(plan.schedule.frames[2]), 547, 8);
  EXPECT_NEAR(static_cast<double>(plan.schedule.frames[4]), 667, 8);
}

TEST(FramePlanner, GivesEachKindItsRateWithinAnAmpleBudget) {
  const FrameIndex index = index_of(60, 100);
  SignalTrack track = quiet_track(index);
  for (std::size_t i = 0; i < track.moments.size(); ++i) {
    const double t = index.seconds[i];
    if (t >= 20 && t < 40) track.moments[i].motion = track.moments[i].change = 255;
    if (t >= 60 && t < 80) track.moments[i].change = 255;
  }
  track.moments[5400].text = 255;  // second 90
  DynamicSampling wish;
  wish.around_seconds = 1;
  const PlannedFrames plan =
      plan_frames(index, track, wish, budget_of(1'000'000, 10'000), no_even_schedule);
  std::map<Moment, int> frames;
  for (const Moment m : plan.schedule.pair_moments) frames[m] += 2;
  EXPECT_EQ(plan.share, 1);
  EXPECT_NEAR(frames[Moment::motion], 20 * 10, 2);
  EXPECT_NEAR(frames[Moment::calm], 20 * 2, 2);
  EXPECT_NEAR(frames[Moment::text], 2 * 24, 2);
  EXPECT_NEAR(frames[Moment::still], 58 * 0.5, 4);
  for (std::size_t k = 0; k < plan.schedule.pair_detail.size(); ++k) {
    EXPECT_EQ(plan.schedule.pair_detail[k], plan.schedule.pair_moments[k] == Moment::text ? 2 : 1);
  }
}

TEST(FramePlanner, ShowsTextAfterItIsComplete) {
  const FrameIndex index = index_of(30, 60);
  SignalTrack track = quiet_track(index);
  track.moments[900].text = 100;
  const PlannedFrames plan = plan_frames(index, track, {}, budget_of(200), no_even_schedule);
  ASSERT_EQ(plan.schedule.frames.size(), 4u);  // the beginning, and the text
  EXPECT_GE(plan.schedule.frames[2], 900);
  EXPECT_LE(plan.schedule.frames[3], 915);
}

// Three texts that come one after the other, at seconds 10, 20 and 30.
SignalTrack three_texts(const FrameIndex& index) {
  SignalTrack track = quiet_track(index);
  for (const std::size_t i : {300, 600, 900}) track.moments[i].text = 100;
  return track;
}

// Of the first frames of the pairs that show text, at 30 frames a second.
std::vector<double> text_seconds(const FrameSchedule& schedule) {
  std::vector<double> out;
  for (std::size_t k = 0; k < schedule.pair_moments.size(); ++k) {
    if (schedule.pair_moments[k] == Moment::text)
      out.push_back(static_cast<double>(schedule.frames[2 * k]) / 30);
  }
  return out;
}

TEST(FramePlanner, SeesStandingTextLaterBeforeItGivesUpItsDetail) {
  const FrameIndex index = index_of(30, 60);
  // The beginning, and a text with twice the pixels.
  PlannedFrames plan = plan_frames(index, three_texts(index), {}, budget_of(300), no_even_schedule);
  EXPECT_EQ(plan.n_events, 4);
  EXPECT_EQ(plan.n_left_out, 0);
  ASSERT_EQ(text_seconds(plan.schedule).size(), 1u);
  EXPECT_NEAR(text_seconds(plan.schedule)[0], 30.25, 0.25);
  EXPECT_EQ(plan.schedule.pair_detail.back(), 2);
  // With room for two, both have all of it, too.
  plan = plan_frames(index, three_texts(index), {}, budget_of(500), no_even_schedule);
  ASSERT_EQ(text_seconds(plan.schedule).size(), 2u);
  EXPECT_NEAR(text_seconds(plan.schedule)[1], 30.25, 0.25);
  EXPECT_EQ(plan.schedule.pair_detail.back(), 2);
  // With room for all, each has its own.
  plan = plan_frames(index, three_texts(index), {}, budget_of(700), no_even_schedule);
  EXPECT_EQ(text_seconds(plan.schedule).size(), 3u);
}

TEST(FramePlanner, SeesTextBeforeItGoesAway) {
  const FrameIndex index = index_of(30, 60);
  for (const bool is_cut : {false, true}) {
    SignalTrack track = three_texts(index);
    (is_cut ? track.moments[750].cut : track.moments[750].text_gone) = 255;
    const PlannedFrames plan =
        plan_frames(index, track, {}, budget_of(is_cut ? 600 : 500), no_even_schedule);
    ASSERT_EQ(text_seconds(plan.schedule).size(), 2u);
    EXPECT_NEAR(text_seconds(plan.schedule)[0], 20.25, 0.25);
    EXPECT_NEAR(text_seconds(plan.schedule)[1], 30.25, 0.25);
    EXPECT_EQ(plan.n_left_out, 0);
  }
}

TEST(FramePlanner, IsTheEvenScheduleWhereNothingHappens) {
  const FrameIndex index = index_of(30, 60);
  SignalTrack track = quiet_track(index);
  const auto even = even_sampler(index);
  PlannedFrames plan = plan_frames(index, track, {}, budget_of(1'000'000), even);
  EXPECT_EQ(plan.schedule.frames, even(0.5).frames);
  EXPECT_EQ(plan.schedule.fps, even(0.5).fps);
  EXPECT_TRUE(plan.schedule.pair_seconds.empty());
  EXPECT_EQ(plan.n_tokens, 15 * 100);
  for (MeasuredMoment& m : track.moments) m.change = 255;
  plan = plan_frames(index, track, {}, budget_of(1'000'000), even);
  EXPECT_EQ(plan.schedule.frames, even(2).frames);
  // And where the budget forbids it, an even schedule that fits.
  plan = plan_frames(index, track, {}, budget_of(1050), even);
  EXPECT_EQ(plan.schedule.frames, even(20.0 / 60).frames);
  EXPECT_EQ(plan.n_tokens, 1000);
}

TEST(FramePlanner, IsTheEvenScheduleWhereAllRatesAreAlike) {
  const FrameIndex index = index_of(30, 60);
  const auto even = even_sampler(index);
  DynamicSampling wish;
  wish.cut_fps = wish.motion_fps = wish.text_fps = wish.calm_fps = wish.still_fps = 3;
  const PlannedFrames plan =
      plan_frames(index, random_track(index, 5), wish, budget_of(1'000'000), even);
  EXPECT_EQ(plan.schedule.frames, even(3).frames);
  EXPECT_EQ(plan.schedule.fps, even(3).fps);
}

TEST(FramePlanner, RefusesWhatMakesNoSense) {
  const FrameIndex index = index_of(30, 10);
  const SignalTrack track = random_track(index, 3);
  const auto refusal = [&](const DynamicSampling& wish, const PlanBudget& budget) {
    return error_of([&] { plan_frames(index, track, wish, budget, even_sampler(index)); });
  };
  EXPECT_NE(refusal({}, budget_of(99)).find("one pair of frames takes 100"), std::string::npos);
  EXPECT_NE(refusal({}, budget_of(1000, 1)).find("1 frames"), std::string::npos);
  DynamicSampling wish;
  wish.motion_fps = 0;
  EXPECT_NE(refusal(wish, budget_of(1000)).find("motion_fps: found 0"), std::string::npos);
  wish = {};
  wish.text_detail = std::nan("");
  EXPECT_NE(refusal(wish, budget_of(1000)).find("text_detail"), std::string::npos);
}

TEST(FramePlanner, PlansThreeHoursInOnePass) {
  const FrameIndex index = index_of(30, 3 * 3600);
  SignalTrack track = random_track(index, 11);
  for (std::size_t i = 0; i < track.moments.size(); i += 150) track.moments[i].cut = 255;
  const PlannedFrames plan =
      plan_frames(index, track, {}, budget_of(100'000, 1 << 20), no_even_schedule);
  EXPECT_LE(plan.n_tokens, 100'000);
  EXPECT_GT(plan.n_tokens, 90'000);
}

}  // namespace
}  // namespace qwenvl
