// Attention of every kernel table: against the reference back end, and bit by bit against itself.
#include <gtest/gtest.h>

#include "backend_cases.h"

namespace qwenvl::testing {
namespace {

class OnKernelsAttention : public OnKernels {};
INSTANTIATE_TEST_SUITE_P(Kernels, OnKernelsAttention,
                         ::testing::Range(std::size_t{0}, cpu::kernel_choices().size()),
                         kernel_name);

constexpr float kLargestQuery = 4, kLargestValue = 1;

// A score is a sum of D products, at most D · |q| · |k| · D^-1/2 large; its error shifts every
// weight by that much relative to the others. The exponential adds four units, the sum over keys
// one each.
double attention_tolerance(int head_dim, std::int64_t n_keys) {
  const double largest_score = std::sqrt(head_dim) * kLargestQuery * kLargestValue;
  const double score_error = (head_dim + 2) * kHalfUlp * largest_score + largest_score * kHalfUlp;
  return kLargestValue * (2 * score_error + (2 * static_cast<double>(n_keys) + 16) * kHalfUlp);
}

// Tables that multiply bf16 as it is round the weights of the values to it: half a unit of eight
// bits each, and the weights add up to one.
double weight_rounding(const cpu::KernelTable& table, DType type) {
  return type == DType::bf16 && table.bf16_attention ? kLargestValue * kBf16Ulp / 4 : 0;
}

float scale_of(int head_dim) { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }

struct Heads {
  int n_kv_heads, group, head_dim;
};
constexpr Heads kHeads[] = {{2, 1, 16}, {2, 3, 16}, {1, 8, 16},  {1, 3, 80},
                            {2, 1, 80}, {1, 3, 22}, {1, 8, 128}, {2, 3, 128}};

// What activations are computed in, and what the cache keeps.
struct CachedTypes {
  DType compute, cache;
};
constexpr CachedTypes kCachedTypes[] = {{DType::f32, DType::f32},
                                        {DType::bf16, DType::bf16},
                                        {DType::f32, DType::bf16},
                                        {DType::f32, DType::i8},
                                        {DType::bf16, DType::i8}};

std::string name_of(CachedTypes types) {
  return std::string(qwenvl::name_of(types.compute)) + " over " + qwenvl::name_of(types.cache);
}

void compare_cached(Backend& backend, Backend& reference, std::mt19937& random, Heads heads,
                    CachedTypes types, double weight_rounding,
                    const std::vector<Cache::Length>& lengths) {
  const DType type = types.compute;
  Cache cache(random, {2, heads.n_kv_heads, heads.head_dim, types.cache}, lengths);
  cache.fill(random, 1, kLargestValue);
  const int n_heads = heads.n_kv_heads * heads.group;
  const std::int64_t width = std::int64_t{n_heads} * heads.head_dim;
  const Numbers q = random_numbers(random, type, cache.n_rows, width, kLargestQuery, 3);
  Numbers got(type, cache.n_rows, width, 2), expected(type, cache.n_rows, width, 2);
  backend.attention_cached(q, n_heads, cache.view, 1, scale_of(heads.head_dim), got);
  reference.attention_cached(q, n_heads, cache.view, 1, scale_of(heads.head_dim), expected);
  EXPECT_TRUE(got.gap_is_untouched());
  const auto tolerance = [&](std::int64_t, std::int64_t, double value) {
    return attention_tolerance(heads.head_dim, 400) + weight_rounding + rounding_of(type, value);
  };
  expect_near(
      got, expected, tolerance,
      fmt::format("{} × {} heads of {}, {}, {} keys", heads.n_kv_heads, heads.group, heads.head_dim,
                  name_of(types), lengths[0].cache_start + lengths[0].n_rows));
}

TEST_P(OnKernelsAttention, cached_attention_equals_the_reference) {
  for (const CachedTypes& type : kCachedTypes) {
    const double rounding = weight_rounding(table(), type.compute);
    for (const Heads& heads : kHeads) {
      for (const std::int64_t keys : {1, 63, 64, 65, 200}) {
        compare_cached(*cpu, *reference, random, heads, type, rounding, {{keys - 1, 1}});
      }
      compare_cached(*cpu, *reference, random, heads, type, rounding, {{0, 65}});
      compare_cached(*cpu, *reference, random, heads, type, rounding,
                     {{63, 2}, {0, 3}, {130, 1}, {5, 70}});
    }
    // More rows than one block of queries.
    compare_cached(*cpu, *reference, random, {1, 3, 16}, type, rounding, {{7, 133}});
    compare_cached(*cpu, *reference, random, {2, 8, 16}, type, rounding, {{60, 40}, {0, 1}});
  }
}

TEST_P(OnKernelsAttention, store_kv_writes_the_bytes_the_reference_writes) {
  for (const CachedTypes& types : kCachedTypes) {
    for (const int head_dim : {16, 80}) {
      const std::vector<Cache::Length> lengths{{60, 10}, {0, 1}, {128, 70}};
      std::mt19937 first(3), second(3);
      Cache got(first, {3, 2, head_dim, types.cache}, lengths),
          expected(second, {3, 2, head_dim, types.cache}, lengths);
      const Numbers k = random_numbers(random, types.compute, got.n_rows, 2 * head_dim, 1, 3);
      const Numbers v = random_numbers(random, types.compute, got.n_rows, 2 * head_dim, 1, 1);
      cpu->store_kv(k, v, got.view, 1);
      reference->store_kv(k, v, expected.view, 1);
      EXPECT_TRUE(got.memory() == expected.memory()) << name_of(types) << " " << head_dim;
    }
  }
}

TEST_P(OnKernelsAttention,
       a_row_of_cached_attention_has_the_same_bits_however_many_rows_and_threads_compute_it) {
  constexpr int kHeadDim = 16, kQueryHeads = 6;
  constexpr std::int64_t kRows = 200, kStart = 30;
  for (const CachedTypes& types : kCachedTypes) {
    const DType type = types.compute;
    Cache cache(random, {1, 2, kHeadDim, types.cache}, {{kStart, kRows}});
    cache.fill(random, 0, kLargestValue);
    const Numbers q = random_numbers(random, type, kRows, kQueryHeads * kHeadDim, kLargestQuery);
    Numbers whole(type, kRows, kQueryHeads * kHeadDim);
    with_threads(1)->attention_cached(q, kQueryHeads, cache.view, 0, 0.25f, whole);
    for (const int n_threads : {1, 2, 3}) {
      const auto backend = with_threads(n_threads);
      for (const std::int64_t n : {1, 2, 3, 4, 7, 50, 200}) {
        for (std::int64_t first = 0; first + n <= kRows; first += std::max<std::int64_t>(n, 31)) {
          KvView part = cache.view;
          part.sequences[0].n_rows = n;
          part.sequences[0].cache_start = kStart + first;
          Numbers out(type, n, kQueryHeads * kHeadDim);
          backend->attention_cached(q.tensor().slice_rows(first, n), kQueryHeads, part, 0, 0.25f,
                                    out);
          ASSERT_EQ(bits_of(out), bits_of(whole, first, n))
              << n << " rows from " << first << " on " << n_threads << " threads, "
              << name_of(types);
        }
      }
    }
  }
}

// Keys as models have them: a few numbers of each are far larger than the rest, at the same places.
TEST_P(OnKernelsAttention, keys_with_outliers_lose_little_in_8_bits) {
  constexpr int kHeadDim = 128;
  constexpr std::int64_t kTokens = 150;
  Numbers k = random_numbers(random, DType::f32, kTokens, kHeadDim);
  const Numbers v = random_numbers(random, DType::f32, kTokens, kHeadDim);
  for (std::int64_t j = 0; j < kTokens; ++j) k.set(j, 5, k.get(j, 5) + 60);
  const Numbers q = random_numbers(random, DType::f32, 1, kHeadDim);
  const auto attended = [&](DType cache_type) {
    Cache cache(random, {1, 1, kHeadDim, cache_type}, {{0, kTokens}});
    cpu->store_kv(k, v, cache.view, 0);
    cache.view.sequences[0].cache_start = kTokens - 1;
    cache.view.sequences[0].n_rows = 1;
    Numbers out(DType::f32, 1, kHeadDim);
    cpu->attention_cached(q, 1, cache.view, 0, scale_of(kHeadDim), out);
    return out;
  };
  // Weighted sums of values below 1. One scale over unrotated keys would make steps of 0.5 of
  // numbers below 1 and move these sums by 0.02.
  expect_near(
      attended(DType::i8), attended(DType::f32),
      [](std::int64_t, std::int64_t, double) { return 0.005; }, "8 bits against float32");
}

TEST_P(OnKernelsAttention, a_sequence_has_the_same_bits_alone_and_among_others) {
  const std::vector<Cache::Length> lengths{{63, 2}, {0, 70}, {130, 1}};
  Cache cache(random, {1, 2, 80, DType::bf16}, lengths);
  cache.fill(random, 0, kLargestValue);
  const Numbers q = random_numbers(random, DType::bf16, cache.n_rows, 480, kLargestQuery);
  Numbers whole(DType::bf16, cache.n_rows, 480);
  cpu->attention_cached(q, 6, cache.view, 0, 0.1f, whole);
  for (const SequenceRows& sequence : cache.view.sequences) {
    SequenceRows alone = sequence;
    alone.first_row = 0;
    Numbers out(DType::bf16, sequence.n_rows, 480);
    cpu->attention_cached(q.tensor().slice_rows(sequence.first_row, sequence.n_rows), 6,
                          {cache.view.layout, {alone}}, 0, 0.1f, out);
    EXPECT_EQ(bits_of(out), bits_of(whole, sequence.first_row, sequence.n_rows))
        << sequence.first_row;
  }
}

TEST_P(OnKernelsAttention, attention_over_spans_equals_the_reference) {
  const std::vector<AttentionSpan> spans{{0, 1, 0, 1},         {1, 6, 1, 6},
                                         {6, 70, 6, 70},       {70, 135, 70, 135},
                                         {135, 270, 135, 270}, {270, 273, 0, 200}};
  for (const DType type : kComputeTypes) {
    for (const int head_dim : {4, 16, 80, 128}) {
      constexpr int kNumberOfHeads = 2;
      const std::int64_t width = kNumberOfHeads * head_dim;
      // As in the tower: columns of one product.
      const Numbers qkv = random_numbers(random, type, 273, 3 * width, 1, 5);
      const Tensor q = qkv.tensor().slice_columns(0, width),
                   k = qkv.tensor().slice_columns(width, width),
                   v = qkv.tensor().slice_columns(2 * width, width);
      Numbers got(type, 273, width, 1), expected(type, 273, width, 1);
      const float scale = kLargestQuery * scale_of(head_dim);
      cpu->attention_spans(q, k, v, kNumberOfHeads, spans, scale, got);
      reference->attention_spans(q, k, v, kNumberOfHeads, spans, scale, expected);
      EXPECT_TRUE(got.gap_is_untouched());
      const auto tolerance = [&](std::int64_t, std::int64_t, double value) {
        return attention_tolerance(head_dim, 200) + weight_rounding(table(), type) +
               rounding_of(type, value);
      };
      expect_near(got, expected, tolerance, fmt::format("heads of {} {}", head_dim, name_of(type)));
    }
  }
}

// Spans of more rows than any block of queries has.
TEST_P(OnKernelsAttention, long_spans_equal_the_reference) {
  for (const DType type : kComputeTypes) {
    for (const std::int64_t rows : {300, 1030}) {
      constexpr int kHeadDim = 16, kNumberOfHeads = 2;
      constexpr std::int64_t kWidth = kNumberOfHeads * kHeadDim, kKeys = 70;
      const Numbers q = random_numbers(random, type, rows, kWidth, kLargestQuery);
      const Numbers k = random_numbers(random, type, kKeys, kWidth),
                    v = random_numbers(random, type, kKeys, kWidth);
      Numbers got(type, rows, kWidth), expected(type, rows, kWidth);
      const std::vector<AttentionSpan> spans{{0, rows, 0, kKeys}};
      cpu->attention_spans(q, k, v, kNumberOfHeads, spans, scale_of(kHeadDim), got);
      reference->attention_spans(q, k, v, kNumberOfHeads, spans, scale_of(kHeadDim), expected);
      const auto tolerance = [&](std::int64_t, std::int64_t, double value) {
        return attention_tolerance(kHeadDim, kKeys) + weight_rounding(table(), type) +
               rounding_of(type, value);
      };
      expect_near(got, expected, tolerance, fmt::format("{} rows {}", rows, name_of(type)));
    }
  }
}

// Scores that rise along the keys: what was gathered must shrink again and again, by little.
TEST_P(OnKernelsAttention, rising_scores_equal_the_reference) {
  constexpr std::int64_t kKeys = 333;
  constexpr int kHeadDim = 16;
  for (const DType type : kComputeTypes) {
    for (const float step : {0.03f, 0.06f, 0.15f}) {
      Numbers q(type, 3, kHeadDim), k = random_numbers(random, type, kKeys, kHeadDim);
      const Numbers v = random_numbers(random, type, kKeys, kHeadDim, kLargestValue);
      for (int row = 0; row < 3; ++row) {
        for (int d = 0; d < kHeadDim; ++d) q.set(row, d, d == 0 ? 1.0f : 0.0f);
      }
      for (std::int64_t j = 0; j < kKeys; ++j) k.set(j, 0, step * static_cast<float>(j));
      Numbers got(type, 3, kHeadDim), expected(type, 3, kHeadDim);
      const std::vector<AttentionSpan> spans{{0, 3, 0, kKeys}};
      cpu->attention_spans(q, k, v, 1, spans, 1.0f, got);
      reference->attention_spans(q, k, v, 1, spans, 1.0f, expected);
      const double largest_score = static_cast<double>(step) * kKeys;
      const auto tolerance = [&](std::int64_t, std::int64_t, double value) {
        return kLargestValue * (8 * largest_score + 2 * kKeys + 16) * kHalfUlp +
               weight_rounding(table(), type) + rounding_of(type, value);
      };
      expect_near(got, expected, tolerance, fmt::format("steps of {} {}", step, name_of(type)));
    }
  }
}

// Two scores whose distance is small beside them, and yet larger than any exponent.
TEST_P(OnKernelsAttention, huge_scores_leave_the_value_of_the_best_key) {
  for (const DType type : kComputeTypes) {
    for (const float score : {3.6e9f, 1.7e10f, 4e10f, 4e12f, 4e14f}) {
      Numbers q(type, 1, 16), k(type, 2, 16), v(type, 2, 16), out(type, 1, 16);
      for (int d = 0; d < 16; ++d) {
        q.set(0, d, d == 0 ? 1.0f : 0.0f);
        k.set(0, d, d == 0 ? score : 0.0f);
        k.set(1, d, d == 0 ? score / 2 : 0.0f);
        v.set(0, d, 3);
        v.set(1, d, 5);
      }
      const AttentionSpan span[] = {{0, 1, 0, 2}};
      cpu->attention_spans(q, k, v, 1, span, 1.0f, out);
      for (int d = 0; d < 16; ++d) EXPECT_EQ(out.get(0, d), 3.0f) << name_of(type) << " " << score;
    }
  }
}

// As a mask would leave them: keys that score -infinity, a whole tile and more of them first.
TEST_P(OnKernelsAttention, keys_of_no_weight_before_others_do_no_harm) {
  for (const DType type : kComputeTypes) {
    Numbers q(type, 1, 16), k(type, 70, 16), v(type, 70, 16), out(type, 1, 16);
    for (int d = 0; d < 16; ++d) {
      q.set(0, d, d == 0 ? 1.0f : 0.0f);
      for (int j = 0; j < 70; ++j) {
        k.set(j, d, d > 0 ? 0.0f : j < 66 ? -INFINITY : 1.0f);
        v.set(j, d, j < 66 ? 5.0f : 3.0f);
      }
    }
    const AttentionSpan span[] = {{0, 1, 0, 70}};
    cpu->attention_spans(q, k, v, 1, span, 1.0f, out);
    for (int d = 0; d < 16; ++d) EXPECT_EQ(out.get(0, d), 3.0f) << name_of(type) << " " << d;
  }
}

TEST_P(OnKernelsAttention, a_row_of_a_span_has_the_same_bits_however_the_queries_are_cut) {
  for (const DType type : kComputeTypes) {
    constexpr std::int64_t kRows = 200, kWidth = 160;
    const Numbers q = random_numbers(random, type, kRows, kWidth, kLargestQuery);
    const Numbers k = random_numbers(random, type, 150, kWidth),
                  v = random_numbers(random, type, 150, kWidth);
    Numbers whole(type, kRows, kWidth);
    const AttentionSpan all[] = {{0, kRows, 0, 150}};
    with_threads(1)->attention_spans(q, k, v, 2, all, 0.1f, whole);
    for (const int n_threads : {1, 2, 3}) {
      const auto backend = with_threads(n_threads);
      for (const std::int64_t n : {1, 2, 3, 4, 7, 50, 200}) {
        std::vector<AttentionSpan> cut;
        for (std::int64_t r = 0; r < kRows; r += n)
          cut.push_back({r, std::min(kRows, r + n), 0, 150});
        Numbers out(type, kRows, kWidth);
        backend->attention_spans(q, k, v, 2, cut, 0.1f, out);
        ASSERT_EQ(bits_of(out), bits_of(whole))
            << n << " rows on " << n_threads << " threads, " << name_of(type);
      }
    }
  }
}

TEST_P(OnKernelsAttention, scores_far_apart_leave_the_value_of_the_best_key) {
  for (const DType type : kComputeTypes) {
    Numbers q(type, 1, 16), k(type, 130, 16), v(type, 130, 16), out(type, 1, 16);
    for (int d = 0; d < 16; ++d) {
      q.set(0, d, 100);
      for (int j = 0; j < 130; ++j) {
        k.set(j, d, j == 77 ? 100.0f : -100.0f);
        v.set(j, d, static_cast<float>(j));
      }
    }
    const AttentionSpan span[] = {{0, 1, 0, 130}};
    cpu->attention_spans(q, k, v, 1, span, 1.0f, out);
    for (int d = 0; d < 16; ++d) EXPECT_EQ(out.get(0, d), 77.0f) << name_of(type) << " " << d;
  }
}

TEST_P(OnKernelsAttention, a_query_that_is_no_number_gives_no_number_and_harms_no_other_row) {
  for (const DType type : kComputeTypes) {
    const Numbers k = random_numbers(random, type, 70, 16),
                  v = random_numbers(random, type, 70, 16);
    Numbers q = random_numbers(random, type, 5, 16);
    const AttentionSpan span[] = {{0, 5, 0, 70}};
    Numbers before(type, 5, 16), after(type, 5, 16);
    cpu->attention_spans(q, k, v, 1, span, 0.25f, before);
    q.set(2, 7, NAN);
    cpu->attention_spans(q, k, v, 1, span, 0.25f, after);
    for (int d = 0; d < 16; ++d) EXPECT_TRUE(std::isnan(after.get(2, d))) << name_of(type);
    for (const std::int64_t row : {0, 1, 3, 4}) {
      EXPECT_EQ(bits_of(after, row, 1), bits_of(before, row, 1)) << name_of(type) << " row " << row;
    }
  }
}

}  // namespace
}  // namespace qwenvl::testing
