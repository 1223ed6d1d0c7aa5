// Findings of several windows become events.
#include "engine/video/scored_spans.h"

#include <gtest/gtest.h>

namespace qwenvl {
namespace {

TEST(ScoredSpans, OfOverlappingOnesTheBestStaysAndTheBestComeFirst) {
  const auto spans =
      without_overlaps({{0, 4, 0.5, "a", 0}, {3, 5, 0.9, "b", 1}, {8, 9, 0.7, "c", 2}});
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].description, "b");
  EXPECT_EQ(spans[1].description, "c");
}

TEST(ScoredSpans, AnEventSeenByNeighbouringWindowsBecomesOne) {
  const auto spans = joined({{6, 10, 0.5, "A car moves.", 1}, {1, 6, 0.8, "a car moves", 0}}, 0.5);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_DOUBLE_EQ(spans[0].begin, 1);
  EXPECT_DOUBLE_EQ(spans[0].end, 10);
  EXPECT_DOUBLE_EQ(spans[0].score, 0.8);
}

TEST(ScoredSpans, WhatIsToldApartStaysApart) {
  EXPECT_EQ(joined({{1, 6, 1, "a car", 0}, {6, 9, 1, "a dog", 1}}, 0.5).size(), 2u);
  EXPECT_EQ(joined({{1, 6, 1, "a car", 0}, {6, 9, 1, "a car", 0}}, 0.5).size(), 2u);  // one window
  EXPECT_EQ(joined({{1, 6, 1, "a car", 0}, {7, 9, 1, "a car", 1}}, 0.5).size(), 2u);
}

}  // namespace
}  // namespace qwenvl
