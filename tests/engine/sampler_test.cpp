#include "engine/sampler.h"

#include <cmath>
#include <limits>
#include <set>

#include "engine/tiny_engine.h"

namespace qwenvl {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

std::set<std::size_t> kept(const std::vector<float>& scores) {
  std::set<std::size_t> out;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] != kNever) out.insert(i);
  }
  return out;
}

GenerationSettings only(void (*change)(GenerationSettings&)) {
  GenerationSettings settings;
  settings.top_k = 0;
  change(settings);
  return settings;
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesNegativeScoresOnce) {
  const auto settings = only([](auto& s) { s.repetition_penalty = 2; });
  std::vector<float> scores = {4, -4, 3, -3};
  const std::vector<std::int32_t> ids = {0, 1, 1, 0, 1};
  apply_processors(settings, ids, 0, scores);
  EXPECT_EQ(scores, (std::vector<float>{2, -8, 3, -3}));
}

TEST(Sampler, NgramsAreNotCompletedASecondTime) {
  const auto settings = only([](auto& s) { s.no_repeat_ngram_size = 3; });
  std::vector<float> scores(6, 1.0f);
  const std::vector<std::int32_t> ids = {1, 2, 3, 1, 2, 4, 1, 2};
  apply_processors(settings, ids, 0, scores);
  EXPECT_EQ(kept(scores), (std::set<std::size_t>{0, 1, 2, 5}));
}

TEST(Sampler, TheEosIsBannedBeforeTheMinimum) {
  auto settings = only([](auto& s) { s.min_new_tokens = 2; });
  settings.eos_token_ids = {1};
  for (const std::int64_t n_new : {0, 1, 2}) {
    std::vector<float> scores(3, 1.0f);
    apply_processors(settings, {}, n_new, scores);
    EXPECT_EQ(scores[1] == kNever, n_new < 2);
  }
}

TEST(Sampler, TopKKeepsTiesOfTheLast) {
  std::vector<float> scores = {1, 3, 2, 2, 0};
  apply_filters(only([](auto& s) { s.top_k = 2; }), scores);
  EXPECT_EQ(kept(scores), (std::set<std::size_t>{1, 2, 3}));
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
  std::vector<float> scores;
  for (const double p : {0.5, 0.3, 0.15, 0.05}) scores.push_back(static_cast<float>(std::log(p)));
  apply_filters(only([](auto& s) { s.top_p = 0.6f; }), scores);
  EXPECT_EQ(kept(scores), (std::set<std::size_t>{0, 1}));
  apply_filters(only([](auto& s) { s.top_p = 1e-6f; }), scores);
  EXPECT_EQ(kept(scores), (std::set<std::size_t>{0}));
}

TEST(Sampler, MinPIsMeasuredAgainstTheBest) {
  std::vector<float> scores;
  for (const double p : {0.5, 0.3, 0.15, 0.05}) scores.push_back(static_cast<float>(std::log(p)));
  apply_filters(only([](auto& s) { s.min_p = 0.25f; }), scores);
  EXPECT_EQ(kept(scores), (std::set<std::size_t>{0, 1, 2}));
}

TEST(Sampler, FiltersEndureScoresThatAreAllBanned) {
  std::vector<float> scores(8, kNever);
  GenerationSettings settings;
  settings.top_p = 0.5f;
  settings.min_p = 0.1f;
  settings.top_k = 3;
  apply_filters(settings, scores);
  RandomStream random(1, 0);
  EXPECT_EQ(draw(scores, random), 0);
}

TEST(Sampler, DrawsFollowTheProbabilities) {
  const std::vector<float> scores = {std::log(0.6f), kNever, std::log(0.3f), std::log(0.1f)};
  RandomStream random(42, 0);
  std::vector<int> counts(4);
  for (int i = 0; i < 20000; ++i) ++counts[static_cast<std::size_t>(draw(scores, random))];
  EXPECT_NEAR(counts[0], 12000, 300);
  EXPECT_EQ(counts[1], 0);
  EXPECT_NEAR(counts[2], 6000, 300);
  EXPECT_NEAR(counts[3], 2000, 200);
}

TEST(Sampler, StreamsOfOneSeedShareNoNumbers) {
  std::set<double> numbers;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    for (std::uint64_t stream = 0; stream < 8; ++stream) {
      RandomStream random(seed, stream);
      for (int i = 0; i < 100; ++i) numbers.insert(random.uniform());
    }
  }
  EXPECT_EQ(numbers.size(), 4u * 8 * 100);
  EXPECT_GE(*numbers.begin(), 0.0);
  EXPECT_LT(*numbers.rbegin(), 1.0);
}

TEST(Sampler, EqualScoresAreTakenInTheOrderOfTheirIds) {
  const std::vector<float> scores = {1, 5, 5, 2, 5};
  EXPECT_EQ(argmax(scores), 1);
  EXPECT_EQ(best_indices(scores, 4), (std::vector<std::int32_t>{1, 2, 4, 3}));
  EXPECT_EQ(best_indices(scores, 9).size(), 5u);
}

TEST(Sampler, LogSoftmaxAddsUpToOneForLargeScoresToo) {
  std::vector<float> scores = {1000, 1001, 999, -1e30f};
  log_softmax(scores);
  double sum = 0;
  for (const float score : scores) sum += std::exp(score);
  EXPECT_NEAR(sum, 1, 1e-5);
}

}  // namespace
}  // namespace qwenvl
