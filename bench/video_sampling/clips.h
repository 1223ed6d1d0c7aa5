// Clips with known events, drawn from a seed. Before: nothing.   After: main.cpp samples them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "support/drawn_video.h"

namespace qwenvl::bench {

struct TrueEvent {
  double begin, end;    // seconds
  int text_height = 0;  // of its letters in pixels of the small picture; 0: no text
};

struct BenchClip {
  std::unique_ptr<test::DrawnVideo> video;
  std::vector<TrueEvent> events;
};

constexpr double kClipSeconds = 60, kClipFps = 25;
constexpr int kClipHeight = 270, kClipWidth = 480;  // a quarter of the sides of 1080p

// "short event", "cuts", "slides", "sport", "disturbed", "photographs".
const std::vector<std::string>& clip_kinds();
BenchClip make_clip(const std::string& kind, std::uint64_t seed, const std::string& photographs);

}  // namespace qwenvl::bench
