// Budgets of clips: sizes shrink together, details differ, what cannot be kept is refused.
#include "models/qwen2_5_vl/input/clip_sizes.h"

#include <gtest/gtest.h>

#include <numeric>

#include "support/error_of.h"

namespace qwenvl::qwen2_5_vl {
namespace {

constexpr PixelSize kVga{480, 640};
const PreprocessorConfig kLimits{.min_pixels = 3136, .max_pixels = 12845056};

ClipWish video_wish() {
  ClipWish wish;
  wish.is_file = true;
  wish.max_tokens = 1 << 20;
  return wish;
}

std::vector<PairSize> sizes_of(std::int64_t n_frames, const ClipWish& wish,
                               ResizeRule rule = ResizeRule::qwen_vl_utils) {
  return clip_sizes(n_frames, kVga, wish, PreprocessOptions{rule}, {}, kLimits);
}

std::int64_t total(const std::vector<PairSize>& sizes) {
  std::int64_t sum = 0;
  for (const PairSize& size : sizes) sum += size.n_tokens;
  return sum;
}

std::string error_for(std::int64_t n_frames, const ClipWish& wish) {
  return error_of([&] { sizes_of(n_frames, wish); });
}

TEST(ClipBudget, is_used_as_far_as_sizes_allow_and_never_exceeded) {
  for (const ResizeRule rule :
       {ResizeRule::qwen_vl_utils, ResizeRule::qwen_vl_utils11, ResizeRule::hf}) {
    for (const std::int64_t budget : {1300, 2000, 2999, 3909}) {
      ClipWish wish = video_wish();
      wish.budget_tokens = budget;
      const std::int64_t n = total(sizes_of(20, wish, rule));
      EXPECT_LE(n, budget);
      EXPECT_GE(n, budget * 3 / 4);  // a row or a column of all ten pairs may be too much
    }
  }
}

TEST(ClipBudget, that_is_not_reached_changes_nothing) {
  ClipWish wish = video_wish();
  const auto plain = sizes_of(20, wish);
  wish.budget_tokens = total(plain);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(sizes_of(20, wish)[i].height, plain[i].height);
    EXPECT_EQ(sizes_of(20, wish)[i].width, plain[i].width);
  }
  wish.budget_tokens = total(plain) - 1;
  EXPECT_LT(total(sizes_of(20, wish)), total(plain));
}

TEST(ClipBudget, below_the_smallest_sizes_is_refused_with_the_sum) {
  ClipWish wish = video_wish();
  wish.budget_tokens = 1000;
  const std::int64_t least = least_pair_size(1, kVga, wish, {}, {}, kLimits).n_tokens;
  const std::string error = error_for(20, wish);
  for (const std::string& part :
       {fmt::format("10 × {} = {} tokens", least, 10 * least), std::string("min_pixels is 100352)"),
        std::string("expected at most the 1000 of max_tokens (--max-video-tokens)")}) {
    EXPECT_NE(error.find(part), std::string::npos) << error;
  }
  wish.frame.min_pixels = 3136;
  EXPECT_LE(total(sizes_of(20, wish)), 1000);
}

TEST(ClipBudget, names_the_limits_of_the_model_where_they_are_what_decides) {
  ClipWish wish = video_wish();
  wish.budget_tokens = 20;
  const PreprocessorConfig narrow{.min_pixels = 12544, .max_pixels = 18816};
  const std::string error =
      error_of([&] { clip_sizes(20, kVga, wish, PreprocessOptions{}, {}, narrow); });
  EXPECT_NE(error.find("min_pixels is 100352, the model's own limits 12544 and 18816"),
            std::string::npos)
      << error;
}

TEST(ClipBudget, does_not_change_sizes_that_are_asked_for) {
  ClipWish wish = video_wish();
  wish.frame.resized_height = wish.frame.resized_width = 280;
  wish.budget_tokens = 1000;
  EXPECT_EQ(total(sizes_of(20, wish)), 1000);
  wish.budget_tokens = 999;
  EXPECT_NE(error_for(20, wish).find("resized_height and resized_width fix"), std::string::npos);
}

TEST(ClipBudget, of_nothing_is_refused) {
  ClipWish wish = video_wish();
  wish.budget_tokens = 0;
  EXPECT_NE(error_for(20, wish).find("max_tokens: found 0"), std::string::npos);
}

TEST(ClipDetail, gives_more_pixels_under_the_same_budget) {
  ClipWish wish = video_wish();
  wish.budget_tokens = 2000;
  wish.pair_detail = {1, 1, 2, 2, 1, 1, 1, 1};
  const auto sizes = sizes_of(16, wish);
  EXPECT_LE(total(sizes), 2000);
  const double ratio =
      static_cast<double>(sizes[2].n_tokens) / static_cast<double>(sizes[0].n_tokens);
  EXPECT_GT(ratio, 1.6);
  EXPECT_LT(ratio, 2.4);
  EXPECT_EQ(sizes[4].n_tokens, sizes[0].n_tokens);
}

TEST(ClipDetail, of_one_everywhere_is_none) {
  ClipWish wish = video_wish();
  const auto plain = sizes_of(20, wish);
  wish.pair_detail.assign(10, 1.0);
  EXPECT_EQ(total(sizes_of(20, wish)), total(plain));
}

TEST(ClipDetail, keeps_the_largest_and_the_smallest_size_that_were_asked_for) {
  ClipWish wish = video_wish();
  wish.frame.min_pixels = 50176, wish.frame.max_pixels = 100352;
  wish.pair_detail = {0.01, 1, 100};
  const auto sizes = sizes_of(6, wish);
  EXPECT_EQ(sizes[1].n_tokens, sizes[2].n_tokens);
  EXPECT_GE(sizes[0].n_tokens, 42);  // 50176 pixels are 64 tokens, less a row and a column
}

TEST(ClipRuns, have_one_size_each_and_the_times_of_their_pairs) {
  ClipWish wish = video_wish();
  wish.frame.min_pixels = 3136, wish.frame.max_pixels = 100352;
  wish.budget_tokens = 60;
  wish.pair_detail = {1, 1, 3, 1};
  wish.pair_seconds = {0, 2, 2.1, 7};
  int n_asked = 0;
  const auto frame = [&](std::int64_t) {
    ++n_asked;
    return Image{120, 160, std::vector<std::uint8_t>(120 * 160 * 3, 7)};
  };
  const auto inputs = prepare_clip(8, frame, wish, {}, {}, kLimits);
  ASSERT_EQ(inputs.size(), 3u);
  EXPECT_EQ(n_asked, 8);
  EXPECT_EQ(inputs[0].grid.t, 2);
  EXPECT_EQ(inputs[1].first_pair, 2);
  EXPECT_EQ(inputs[2].first_pair, 3);
  EXPECT_EQ(inputs[1].pair_seconds, std::vector<double>{2.1});
  EXPECT_EQ(inputs[0].pair_seconds, (std::vector<double>{0, 2}));
  EXPECT_GT(inputs[1].n_tokens, inputs[2].n_tokens);
  const auto sizes = clip_sizes(8, {120, 160}, wish, {}, {}, kLimits);
  std::size_t pair = 0;
  for (const VisionInput& input : inputs) {
    for (std::int64_t k = 0; k < input.grid.t; ++k, ++pair) {
      EXPECT_EQ(input.height(), sizes[pair].height);
      EXPECT_EQ(input.width(), sizes[pair].width);
      EXPECT_EQ(input.n_tokens / input.grid.t, sizes[pair].n_tokens);
    }
  }
}

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
