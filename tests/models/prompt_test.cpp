// Time positions of clips: even and uneven ones, in one size and in several.
#include "models/qwen2_5_vl/input/prompt.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

namespace qwenvl::qwen2_5_vl {
namespace {

TEST(Positions, a_clip_that_lasts_too_long_is_refused) {
  for (const TemporalIds kind : {TemporalIds::true_time, TemporalIds::whole_seconds}) {
    for (const double seconds : {1e12, 1e300, -1.0, double{NAN}, double{INFINITY}}) {
      const MediaRun clip{0, {3, 2, 2}, true, seconds};
      try {
        mrope_positions(3, std::span(&clip, 1), 2, kind);
        ADD_FAILURE() << seconds << " seconds are accepted";
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::bad_request) << error.what();
      }
    }
  }
}

// [time, height, width] of n tokens.
std::array<std::vector<std::int32_t>, 3> axes_of(const Positions& positions) {
  const std::size_t n = positions.axes.size() / 3;
  const auto at = [&](std::size_t i) {
    return positions.axes.begin() + static_cast<std::ptrdiff_t>(i * n);
  };
  return {std::vector(at(0), at(1)), std::vector(at(1), at(2)), std::vector(at(2), at(3))};
}

using Ids = std::vector<std::int32_t>;

TEST(Positions, pairs_are_at_the_time_at_which_they_are_shown) {
  // The last two are closer than half a second, which is one step.
  const std::vector<double> seconds = {0, 0.5, 3.75, 60, 60.2};
  const MediaRun clip{1, {5, 2, 2}, true, 0, 0, seconds};
  const Positions exact = mrope_positions(7, std::span(&clip, 1), 2, TemporalIds::true_time);
  EXPECT_EQ(axes_of(exact)[0], (Ids{0, 1, 2, 8, 121, 121, 122}));
  EXPECT_EQ(axes_of(exact)[1], (Ids{0, 1, 1, 1, 1, 1, 122}));
  const Positions whole = mrope_positions(7, std::span(&clip, 1), 2, TemporalIds::whole_seconds);
  EXPECT_EQ(axes_of(whole)[0], (Ids{0, 1, 1, 7, 121, 121, 122}));
}

TEST(Positions, even_pairs_have_the_same_positions_as_the_same_times_listed) {
  for (const double interval : {0.25, 0.5, 1.0, 1.001, 2.0, 1 / 3.0}) {
    std::vector<double> seconds;
    // As the reference has them: each multiple rounded to float32.
    for (int k = 0; k < 100; ++k)
      seconds.push_back(static_cast<float>(k) * static_cast<float>(interval));
    const MediaRun even{0, {100, 2, 4}, true, interval},
        listed{0, {100, 2, 4}, true, 0, 0, seconds};
    EXPECT_EQ(mrope_positions(200, std::span(&even, 1), 2, TemporalIds::true_time).axes,
              mrope_positions(200, std::span(&listed, 1), 2, TemporalIds::true_time).axes)
        << interval;
  }
}

TEST(Positions, a_clip_in_several_sizes_is_one_block) {
  const std::vector<double> first = {0, 1}, second = {1.5}, third = {4};
  const MediaRun runs[] = {{2, {2, 2, 2}, true, 0, 0, first},
                           {4, {1, 4, 4}, true, 0, 2, second},
                           {8, {1, 2, 2}, true, 0, 3, third}};
  const auto [time, height, width] = axes_of(mrope_positions(10, runs, 2, TemporalIds::true_time));
  EXPECT_EQ(time, (Ids{0, 1, 2, 4, 5, 5, 5, 5, 10, 11}));
  EXPECT_EQ(height, (Ids{0, 1, 2, 2, 2, 2, 3, 3, 2, 11}));
  EXPECT_EQ(width, (Ids{0, 1, 2, 2, 2, 3, 2, 3, 2, 11}));
}

TEST(Positions, an_even_clip_in_several_sizes_keeps_counting_its_pairs) {
  const MediaRun whole{0, {4, 2, 2}, true, 0.7};
  const MediaRun parts[] = {{0, {1, 2, 2}, true, 0.7}, {1, {3, 2, 2}, true, 0.7, 1}};
  EXPECT_EQ(mrope_positions(4, std::span(&whole, 1), 2, TemporalIds::true_time).axes,
            mrope_positions(4, parts, 2, TemporalIds::true_time).axes);
}

TEST(Positions, a_pair_beyond_all_positions_is_refused) {
  for (const double late : {1e12, -1.0, double{NAN}}) {
    const std::vector<double> seconds = {0, late};
    const MediaRun clip{0, {2, 2, 2}, true, 0, 0, seconds};
    EXPECT_THROW(mrope_positions(2, std::span(&clip, 1), 2, TemporalIds::true_time), Error) << late;
  }
}

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
