// Penalties, filters and draws against values computed by hand.
#include "engine/generation/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace qwenvl {
namespace {

using Scores = std::vector<float>;
using Ids = std::vector<std::int32_t>;
constexpr float kNever = -std::numeric_limits<float>::infinity();

// Everything off.
GenerationSettings neutral() {
  GenerationSettings s;
  s.top_k = 0;
  return s;
}

Scores processed(const GenerationSettings& settings, const Ids& ids, Scores scores,
                 std::int64_t n_new = 0) {
  apply_processors(settings, ids, n_new, scores);
  return scores;
}

Scores filtered(const GenerationSettings& settings, Scores scores) {
  apply_filters(settings, scores);
  return scores;
}

Scores log_of(std::vector<double> probabilities) {
  Scores out;
  for (const double p : probabilities) out.push_back(static_cast<float>(std::log(p)));
  return out;
}

std::vector<std::int32_t> survivors(const Scores& scores) {
  std::vector<std::int32_t> out;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] != kNever) out.push_back(static_cast<std::int32_t>(i));
  }
  return out;
}

// ---- processors ------------------------------------------------------------------------------

TEST(Processors, neutral_settings_change_nothing) {
  EXPECT_EQ(processed(neutral(), {0, 1, 1}, {1, -2, 3}), (Scores{1, -2, 3}));
}

TEST(Processors,
     repetition_penalty_divides_positive_scores_and_multiplies_negative_ones_once_per_id) {
  GenerationSettings s = neutral();
  s.repetition_penalty = 2;
  EXPECT_EQ(processed(s, {0, 1, 1, 0, 4}, {4, -4, 8, -8, 0}), (Scores{2, -8, 8, -8, 0}));
}

TEST(Processors, a_penalty_below_one_favours_repetition) {
  GenerationSettings s = neutral();
  s.repetition_penalty = 0.5f;
  EXPECT_EQ(processed(s, {0, 1}, {4, -4, 8}), (Scores{8, -2, 8}));
}

TEST(Processors, no_repeat_ngram_bans_what_would_complete_a_seen_ngram) {
  GenerationSettings s = neutral();
  s.no_repeat_ngram_size = 3;
  // "1 2 3" and "1 2 4" are there, and the text ends in "1 2".
  EXPECT_EQ(survivors(processed(s, {1, 2, 3, 1, 2, 4, 1, 2}, Scores(6, 1))), (Ids{0, 1, 2, 5}));
  s.no_repeat_ngram_size = 2;
  EXPECT_EQ(survivors(processed(s, {1, 2, 3, 1, 2, 4, 1, 2}, Scores(6, 1))), (Ids{0, 1, 2, 5}));
  s.no_repeat_ngram_size = 1;
  EXPECT_EQ(survivors(processed(s, {1, 2, 2, 4}, Scores(6, 1))), (Ids{0, 3, 5}));
}

TEST(Processors, ngrams_longer_than_the_text_ban_nothing) {
  GenerationSettings s = neutral();
  s.no_repeat_ngram_size = 4;
  EXPECT_EQ(processed(s, {1, 1, 1}, Scores(3, 1)), Scores(3, 1));
  EXPECT_EQ(processed(s, {1}, Scores(3, 1)), Scores(3, 1));
  EXPECT_EQ(processed(s, {}, Scores(3, 1)), Scores(3, 1));
  s.no_repeat_ngram_size = 1 << 24;
  EXPECT_EQ(processed(s, {1, 1}, Scores(3, 1)), Scores(3, 1));
}

TEST(Processors, an_ngram_may_overlap_itself) {
  GenerationSettings s = neutral();
  s.no_repeat_ngram_size = 2;
  EXPECT_EQ(survivors(processed(s, {1, 1}, Scores(3, 1))), (Ids{0, 2}));
}

TEST(Processors, end_tokens_are_banned_until_the_minimum_is_reached) {
  GenerationSettings s = neutral();
  s.eos_token_ids = {1, 3};
  s.min_new_tokens = 2;
  EXPECT_EQ(survivors(processed(s, {}, Scores(5, 1), 0)), (Ids{0, 2, 4}));
  EXPECT_EQ(survivors(processed(s, {}, Scores(5, 1), 1)), (Ids{0, 2, 4}));
  EXPECT_EQ(survivors(processed(s, {}, Scores(5, 1), 2)), (Ids{0, 1, 2, 3, 4}));
}

TEST(Processors, the_penalty_is_applied_before_ngrams_are_banned) {
  GenerationSettings s = neutral();
  s.repetition_penalty = 2;
  s.no_repeat_ngram_size = 1;
  EXPECT_EQ(processed(s, {0}, {4, 2}), (Scores{kNever, 2}));
}

// ---- filters ---------------------------------------------------------------------------------

TEST(Filters, temperature_divides) {
  GenerationSettings s = neutral();
  s.temperature = 0.5f;
  EXPECT_EQ(filtered(s, {1, -2, 0.25f}), (Scores{2, -4, 0.5f}));
}

TEST(Filters, top_k_keeps_the_k_largest_and_ties_with_the_last_of_them) {
  GenerationSettings s = neutral();
  s.top_k = 2;
  EXPECT_EQ(survivors(filtered(s, {1, 4, 3, 2})), (Ids{1, 2}));
  EXPECT_EQ(survivors(filtered(s, {3, 4, 3, 2, 3})), (Ids{0, 1, 2, 4}));
  s.top_k = 1;
  EXPECT_EQ(survivors(filtered(s, {3, 4, 4, 2})), (Ids{1, 2}));
  s.top_k = 100;
  EXPECT_EQ(survivors(filtered(s, {1, 4, 3, 2})), (Ids{0, 1, 2, 3}));
}

TEST(Filters, top_p_drops_the_least_likely_whose_sum_fits_into_the_rest) {
  GenerationSettings s = neutral();
  const Scores scores = log_of({0.125, 0.5, 0.25, 0.0625, 0.0625});
  s.top_p = 0.8f;  // 0.0625 + 0.0625 fit into 0.2, 0.25 does not
  EXPECT_EQ(survivors(filtered(s, scores)), (Ids{0, 1, 2}));
  s.top_p = 0.7f;
  EXPECT_EQ(survivors(filtered(s, scores)), (Ids{1, 2}));
  s.top_p = 0.3f;
  EXPECT_EQ(survivors(filtered(s, scores)), (Ids{1}));
  s.top_p = 1e-9f;
  EXPECT_EQ(survivors(filtered(s, scores)), (Ids{1}));
}

TEST(Filters, min_p_drops_what_is_less_likely_than_a_share_of_the_best) {
  GenerationSettings s = neutral();
  const Scores scores = log_of({0.1, 0.5, 0.3, 0.06, 0.04});
  s.min_p = 0.5f;  // at least 0.25
  EXPECT_EQ(survivors(filtered(s, scores)), (Ids{1, 2}));
  s.min_p = 0.11f;  // at least 0.055
  EXPECT_EQ(survivors(filtered(s, scores)), (Ids{0, 1, 2, 3}));
  s.min_p = 1;
  EXPECT_EQ(survivors(filtered(s, scores)), (Ids{1}));
}

TEST(Filters, temperature_acts_before_top_p) {
  GenerationSettings s = neutral();
  const Scores scores = log_of({0.4, 0.3, 0.2, 0.1});
  s.top_p = 0.65f;
  EXPECT_EQ(survivors(filtered(s, scores)), (Ids{0, 1}));  // 0.1 + 0.2 fit into 0.35
  s.temperature = 0.25f;                                   // 256 : 81 : 16 : 1 of 354
  EXPECT_EQ(survivors(filtered(s, scores)), (Ids{0}));
}

TEST(Filters, top_p_looks_at_what_top_k_left) {
  GenerationSettings s = neutral();
  s.top_k = 2;
  s.top_p = 0.6f;
  // Of the two, the first has 4/7, less than 0.6: both stay. Of all four it would have 0.4.
  EXPECT_EQ(survivors(filtered(s, log_of({0.4, 0.3, 0.2, 0.1}))), (Ids{0, 1}));
  s.top_p = 0.55f;
  EXPECT_EQ(survivors(filtered(s, log_of({0.4, 0.3, 0.2, 0.1}))), (Ids{0}));
}

TEST(Filters, nothing_left_to_choose_from_stays_so) {
  GenerationSettings s;
  s.top_k = 2;
  s.top_p = 0.5f;
  s.min_p = 0.5f;
  EXPECT_TRUE(survivors(filtered(s, Scores(4, kNever))).empty());
}

// ---- choices ---------------------------------------------------------------------------------

TEST(Argmax, is_the_first_of_equals) {
  EXPECT_EQ(argmax(Scores{1, 3, 3, 2}), 1);
  EXPECT_EQ(argmax(Scores{kNever, kNever}), 0);
}

TEST(BestIndices, are_in_order_with_the_lower_index_first_among_equals) {
  EXPECT_EQ(best_indices(Scores{1, 3, 2, 3, 0}, 4), (Ids{1, 3, 2, 0}));
  EXPECT_EQ(best_indices(Scores{1, 3}, 5), (Ids{1, 0}));
  EXPECT_TRUE(best_indices(Scores{1, 3}, 0).empty());
}

TEST(LogSoftmax, exponentials_add_up_to_one) {
  Scores scores{1000, 1001, 998, -1000};
  log_softmax(scores);
  const double total = 1 + std::exp(-1.0) + std::exp(-3.0);
  EXPECT_NEAR(scores[1], -std::log(total), 1e-4);
  EXPECT_NEAR(scores[0], -1 - std::log(total), 1e-4);
  EXPECT_NEAR(scores[2], -3 - std::log(total), 1e-4);
  EXPECT_NEAR(scores[3], -2001, 1);
}

TEST(Draw, frequencies_follow_the_probabilities) {
  const std::vector<double> probabilities{0.05, 0.4, 0.0, 0.25, 0.2, 0.1};
  const Scores scores = log_of(probabilities);
  constexpr int kDraws = 20000;
  for (const std::uint64_t seed : {0u, 1u, 12345u, 4000000000u}) {
    RandomStream random(seed, 0);
    std::vector<int> counts(scores.size());
    for (int i = 0; i < kDraws; ++i) ++counts[static_cast<std::size_t>(draw(scores, random))];
    EXPECT_EQ(counts[2], 0);
    double chi_square = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (probabilities[i] == 0) continue;
      const double expected = kDraws * probabilities[i];
      chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    EXPECT_LT(chi_square, 18.47) << "seed " << seed;  // 99.9 % for four degrees of freedom
  }
}

TEST(Draw, ties_are_drawn_equally_often) {
  RandomStream random(7, 0);
  int first = 0;
  for (int i = 0; i < 10000; ++i) first += draw(Scores{5e6f, 1, 5e6f}, random) == 0;
  EXPECT_NEAR(first, 5000, 200);  // four standard deviations
}

TEST(Draw, one_choice_is_certain_and_none_gives_the_first) {
  RandomStream random(1, 2);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(draw(Scores{kNever, 0, kNever}, random), 1);
  EXPECT_EQ(draw(Scores{kNever, kNever}, random), 0);
}

TEST(RandomStream, the_same_seed_and_stream_give_the_same_numbers_and_others_give_others) {
  const auto numbers = [](std::uint64_t seed, std::uint64_t stream) {
    RandomStream random(seed, stream);
    std::vector<double> out;
    for (int i = 0; i < 100; ++i) out.push_back(random.uniform());
    return out;
  };
  EXPECT_EQ(numbers(5, 0), numbers(5, 0));
  EXPECT_NE(numbers(5, 0), numbers(6, 0));
  EXPECT_NE(numbers(5, 0), numbers(5, 1));
  for (const double x : numbers(5, 0)) {
    EXPECT_GE(x, 0);
    EXPECT_LT(x, 1);
  }
}

TEST(RandomStream, streams_of_one_seed_do_not_repeat_each_other) {
  // Stream n must not be stream 0 begun n numbers later.
  RandomStream first(5, 0), second(5, 1);
  std::vector<double> a, b;
  for (int i = 0; i < 50; ++i) {
    a.push_back(first.uniform());
    b.push_back(second.uniform());
  }
  for (const double x : b) EXPECT_EQ(std::count(a.begin(), a.end(), x), 0);
}

}  // namespace
}  // namespace qwenvl
