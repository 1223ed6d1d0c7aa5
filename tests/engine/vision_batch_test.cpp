#include "engine/scheduling/vision_batch.h"

#include <gtest/gtest.h>

#include "engine/scheduling/vision_cache.h"

namespace qwenvl {
namespace {

// Frames of 28 × 28 pixels, each of one grey: 0, 1, 2, …
VisionInput clip_of(int n_frames) {
  VisionInput input;
  input.is_video = true;
  input.grid = {(n_frames + 1) / 2, 2, 2};
  input.n_tokens = input.grid.t;
  for (int i = 0; i < n_frames; ++i) {
    input.frames.push_back(
        {28, 28, std::vector<std::uint8_t>(28 * 28 * 3, static_cast<std::uint8_t>(i))});
  }
  return input;
}

std::vector<int> greys(const VisionInput& input) {
  std::vector<int> out;
  for (const Image& frame : input.frames) out.push_back(frame.rgb.at(0));
  return out;
}

TEST(VisionBatch, TakesPairsInAnyCompany) {
  VisionInput clip = clip_of(8);
  const VisionInput batch = take_pairs(clip, std::vector<std::int64_t>{0, 3});
  EXPECT_EQ(greys(batch), (std::vector<int>{0, 1, 6, 7}));
  EXPECT_EQ(batch.grid, (Grid{2, 2, 2}));
  EXPECT_EQ(batch.n_tokens, 2);
  EXPECT_TRUE(batch.is_video);
  EXPECT_EQ(greys(take_pairs(clip, std::vector<std::int64_t>{1})), (std::vector<int>{2, 3}));
}

TEST(VisionBatch, AFrameWithoutAPartnerServesTwice) {
  VisionInput clip = clip_of(3), again = clip_of(3), still = clip_of(1);
  EXPECT_EQ(greys(take_pairs(clip, std::vector<std::int64_t>{0, 1})), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(greys(take_pairs(again, std::vector<std::int64_t>{1, 0})),
            (std::vector<int>{2, 2, 0, 1}));
  EXPECT_EQ(greys(take_pairs(still, std::vector<std::int64_t>{0})), std::vector<int>{0});
}

TEST(VisionBatch, KeysBelongToPairsWhereverTheyStand) {
  const VisionInput clip = clip_of(8);
  VisionInput moved = clip_of(8);
  moved.frames.erase(moved.frames.begin(), moved.frames.begin() + 2);
  moved.grid.t = 3;
  EXPECT_EQ(key_of(clip, 2), key_of(moved, 1));
  EXPECT_NE(key_of(clip, 1), key_of(clip, 2));
}

TEST(VisionBatch, IsAtLeastOnePairAndBounded) {
  EXPECT_EQ(batch_grid({500, 100, 100}), (Grid{1, 100, 100}));
  EXPECT_EQ(batch_grid({3, 2, 2}), (Grid{3, 2, 2}));
  const Grid batch = batch_grid({384, 24, 46});
  EXPECT_GT(batch.t, 1);
  EXPECT_LE(batch.n_patches(), 4096);
}

}  // namespace
}  // namespace qwenvl
