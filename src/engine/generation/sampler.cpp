// Logits → token: penalties, filters, the draw.
// Before: models/ computes logits.   After: decoding.cpp and beam_search.cpp append the token.
// Mirrors the logits processors and warpers of the reference.
#include "engine/generation/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace qwenvl {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;  // 2^64 divided by the golden ratio

std::uint64_t mixed(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// s < 0 ? s · p : s / p, once for every distinct id so far.
void penalise_repetition(float penalty, std::span<const std::int32_t> ids,
                         std::span<float> scores) {
  std::vector<bool> seen(scores.size());
  for (const std::int32_t id : ids) {
    if (seen[static_cast<std::size_t>(id)]) continue;
    seen[static_cast<std::size_t>(id)] = true;
    float& score = scores[static_cast<std::size_t>(id)];
    score = score < 0 ? score * penalty : score / penalty;
  }
}

// Bans every id that would complete an n-gram already present.
void ban_repeated_ngrams(std::size_t n, std::span<const std::int32_t> ids,
                         std::span<float> scores) {
  if (ids.size() + 1 < n) return;
  const auto prefix = ids.last(n - 1);
  for (std::size_t i = 0; i + n <= ids.size(); ++i) {
    if (std::equal(prefix.begin(), prefix.end(), ids.begin() + static_cast<std::ptrdiff_t>(i))) {
      scores[static_cast<std::size_t>(ids[i + n - 1])] = kNever;
    }
  }
}

void keep_top_k(std::size_t k, std::span<float> scores) {
  if (k >= scores.size()) return;
  std::vector<float> sorted(scores.begin(), scores.end());
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(k - 1),
                   sorted.end(), std::greater<>());
  const float threshold = sorted[k - 1];  // ties with the k-th survive
  for (float& score : scores) {
    if (score < threshold) score = kNever;
  }
}

// Drops the least likely ids whose probabilities add up to at most 1 - p; the best always stays.
void keep_top_p(float p, std::span<float> scores) {
  std::vector<std::int32_t> order;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] != kNever) order.push_back(static_cast<std::int32_t>(i));
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return scores[a] < scores[b]; });
  if (order.empty()) return;  // the processors have banned everything
  const float largest = scores[static_cast<std::size_t>(order.back())];
  double total = 0;
  for (const std::int32_t id : order) total += std::exp(double{scores[id]} - largest);
  double cumulative = 0;
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    cumulative += std::exp(double{scores[order[i]]} - largest) / total;
    if (cumulative > 1.0 - double{p}) break;
    scores[order[i]] = kNever;
  }
}

void keep_min_p(float p, std::span<float> scores) {
  const float largest = scores[static_cast<std::size_t>(argmax(scores))];
  const float threshold = largest + std::log(p);  // probability < p · best probability
  for (float& score : scores) {
    if (score < threshold) score = kNever;
  }
}

}  // namespace

// SplitMix64: every output depends on a counter only. Streams begin at places of the counter that
// are mixed themselves: neighbours would repeat each other's numbers one step later.
RandomStream::RandomStream(std::uint64_t seed, std::uint64_t stream)
    : state_(mixed(seed + mixed(stream))) {}

double RandomStream::uniform() {
  state_ += kGolden;
  return static_cast<double>(mixed(state_) >> 11) * 0x1p-53;
}

void apply_processors(const GenerationSettings& settings, std::span<const std::int32_t> ids,
                      std::int64_t n_new, std::span<float> scores) {
  if (settings.repetition_penalty != 1)
    penalise_repetition(settings.repetition_penalty, ids, scores);
  if (settings.no_repeat_ngram_size > 0) {
    ban_repeated_ngrams(static_cast<std::size_t>(settings.no_repeat_ngram_size), ids, scores);
  }
  if (n_new < settings.min_new_tokens) {
    for (const std::int32_t id : settings.eos_token_ids)
      scores[static_cast<std::size_t>(id)] = kNever;
  }
}

std::int32_t argmax(std::span<const float> scores) {
  return static_cast<std::int32_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

void log_softmax(std::span<float> scores) {
  const float largest = scores[static_cast<std::size_t>(argmax(scores))];
  double total = 0;
  for (const float score : scores) total += std::exp(score - largest);
  // In this order: largest + log(total) would round away what log(total) adds to a large score.
  const float log_total = static_cast<float>(std::log(total));
  for (float& score : scores) score = score - largest - log_total;
}

void apply_filters(const GenerationSettings& settings, std::span<float> scores) {
  if (settings.temperature != 1) {
    for (float& score : scores) score /= settings.temperature;
  }
  if (settings.top_k != 0) keep_top_k(static_cast<std::size_t>(settings.top_k), scores);
  if (settings.top_p < 1) keep_top_p(settings.top_p, scores);
  if (settings.min_p > 0) keep_min_p(settings.min_p, scores);
}

std::int32_t draw(std::span<const float> scores, RandomStream& random) {
  const std::int32_t best = argmax(scores);
  const float largest = scores[static_cast<std::size_t>(best)];
  double total = 0;
  for (const float score : scores) total += std::exp(double{score} - largest);
  double target = random.uniform() * total;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double weight = std::exp(double{scores[i]} - largest);
    if (weight > 0 && (target -= weight) < 0) return static_cast<std::int32_t>(i);
  }
  return best;  // the target fell into the rounding error at the end
}

std::vector<std::int32_t> best_indices(std::span<const float> scores, std::size_t n) {
  std::vector<std::int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  n = std::min(n, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(),
                    [&](std::int32_t a, std::int32_t b) {
                      return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
                    });
  order.resize(n);
  return order;
}

}  // namespace qwenvl
