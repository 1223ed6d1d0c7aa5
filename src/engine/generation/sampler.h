// Logits → token: penalties, filters, the draw.
// Before: models/ computes logits.   After: engine/generation/decoding.cpp appends the token.
// Mirrors the order and definitions of the reference's logits processors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/generation/generation_settings.h"

namespace qwenvl {

// A small counter-based generator: the same seed and stream give the same numbers everywhere.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::uint64_t stream);
  double uniform();  // [0, 1)

 private:
  std::uint64_t state_;
};

// In place: repetition penalty, no-repeat n-grams, minimum length. `ids` is everything so far,
// prompt and picture placeholders included; n_new of them were generated. `scores` are logits
// (greedy, sampling) or log-probabilities (beams).
void apply_processors(const GenerationSettings& settings, std::span<const std::int32_t> ids,
                      std::int64_t n_new, std::span<float> scores);

// Index of the largest score, the first of equals.
std::int32_t argmax(std::span<const float> scores);

// In place: natural logarithms of the softmax.
void log_softmax(std::span<float> scores);

// In place: temperature, top-k, top-p, min-p; filtered scores become -infinity.
void apply_filters(const GenerationSettings& settings, std::span<float> scores);

// Draws from softmax(scores).
std::int32_t draw(std::span<const float> scores, RandomStream& random);

// The n indices with the largest scores, best first, lower index first among equals.
std::vector<std::int32_t> best_indices(std::span<const float> scores, std::size_t n);

}  // namespace qwenvl
