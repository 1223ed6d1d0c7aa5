// Does dynamic sampling see more than uniform sampling for the same tokens? Recall of known events
// in drawn clips, over token budgets; docs/frame_sampling.md states what counts.
// Usage: video_sampling SAMPLES_FOLDER N_SEEDS OUT.json OUT.svg [FIRST_SEED]
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "clips.h"
#include "media/video/analysis/frame_planner.h"
#include "svg.h"

namespace qwenvl::bench {
namespace {

constexpr std::int64_t kPairTokens = 128;  // of the smallest frames the reference makes
constexpr double kMostDetail = 6;          // it makes none larger than 768 tokens
constexpr double kLegible = 8;             // pixels that a letter is high as the model sees it
constexpr double kSourceHeight = 4.0 * kClipHeight;  // the clips stand for 1080p
const std::vector<std::int64_t> kPairs{4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384};

// Frames 2k and 2k + 1, and tokens of each pair.
struct Seen {
  std::vector<double> seconds;
  std::vector<double> tokens;
};

double letter_pixels(int text_height, double tokens) {
  const double height = std::sqrt(tokens * 28 * 28 * 9 / 16);
  return text_height * 4 * height / kSourceHeight;
}

int n_found(const std::vector<TrueEvent>& events, const Seen& seen) {
  int n = 0;
  for (const TrueEvent& e : events) {
    for (std::size_t k = 0; k < seen.tokens.size(); ++k) {
      const bool is_inside = seen.seconds[2 * k] >= e.begin && seen.seconds[2 * k + 1] < e.end;
      if (is_inside &&
          (e.text_height == 0 || letter_pixels(e.text_height, seen.tokens[k]) >= kLegible)) {
        ++n;
        break;
      }
    }
  }
  return n;
}

// As many frames as are asked for, evenly, and as large as the budget then permits.
Seen uniform(const FrameIndex& index, std::int64_t n_pairs, std::int64_t budget) {
  Seen out;
  const double tokens = std::min(kMostDetail * kPairTokens, static_cast<double>(budget / n_pairs));
  for (std::int64_t i = 0; i < 2 * n_pairs; ++i) {
    const double at =
        static_cast<double>(i * (index.size() - 1)) / static_cast<double>(2 * n_pairs - 1);
    out.seconds.push_back(index.seconds[static_cast<std::size_t>(std::llround(at))]);
  }
  out.tokens.assign(static_cast<std::size_t>(n_pairs), tokens);
  return out;
}

Seen dynamic(const FrameIndex& index, const SignalTrack& track, std::int64_t budget) {
  const PlanBudget limits{budget, 768,
                          [](double detail) { return std::llround(kPairTokens * detail); }};
  const auto even = [&](double fps) {
    FrameSchedule schedule;
    const auto n =
        std::max<std::int64_t>(2, static_cast<std::int64_t>(index.end_seconds * fps / 2));
    for (std::int64_t i = 0; i < 2 * n; ++i)
      schedule.frames.push_back(i * (index.size() - 1) / (2 * n - 1));
    return schedule;
  };
  const PlannedFrames plan = plan_frames(index, track, {}, limits, even);
  const double larger = static_cast<double>(budget) / static_cast<double>(plan.n_tokens);
  Seen out;
  for (std::size_t k = 0; 2 * k < plan.schedule.frames.size(); ++k) {
    for (const std::size_t i : {2 * k, 2 * k + 1})
      out.seconds.push_back(index.seconds[static_cast<std::size_t>(plan.schedule.frames[i])]);
    const double detail = plan.schedule.pair_detail.empty() ? 1 : plan.schedule.pair_detail[k];
    out.tokens.push_back(std::min(kMostDetail, detail * larger) * kPairTokens);
  }
  return out;
}

struct Counts {
  int n_events = 0;
  std::map<std::int64_t, int> uniform, dynamic;  // found, by pairs of the budget

  double recall(const std::map<std::int64_t, int>& found, std::int64_t pairs) const {
    return static_cast<double>(found.at(pairs)) / std::max(1, n_events);
  }
  // The smallest budget with this recall; 0: none.
  std::int64_t needed(const std::map<std::int64_t, int>& found, double least) const {
    for (const std::int64_t pairs : kPairs) {
      if (recall(found, pairs) >= least) return pairs;
    }
    return 0;
  }
};

void measure(const std::string& kind, std::uint64_t seed, const std::string& folder,
             Counts& counts) {
  const BenchClip clip = make_clip(kind, seed, folder);
  const SignalTrack track = measure_signals(*clip.video, {});
  const FrameIndex& index = clip.video->index();
  counts.n_events += static_cast<int>(clip.events.size());
  for (const std::int64_t pairs : kPairs) {
    const std::int64_t budget = pairs * kPairTokens;
    // Whichever serves uniform sampling better: as dense as possible, or 2 a second and larger.
    const auto usual = std::min(pairs, static_cast<std::int64_t>(kClipSeconds));
    counts.uniform[pairs] += std::max(n_found(clip.events, uniform(index, pairs, budget)),
                                      n_found(clip.events, uniform(index, usual, budget)));
    counts.dynamic[pairs] += n_found(clip.events, dynamic(index, track, budget));
  }
}

void print(const std::map<std::string, Counts>& all) {
  fmt::print("{:<14}{:>7}", "recall, %", "events");
  for (const std::int64_t pairs : kPairs) fmt::print("{:>9}", pairs * kPairTokens);
  fmt::print("  tokens\n");
  for (const auto& [kind, c] : all) {
    fmt::print("{:<14}{:>7}", kind, c.n_events);
    for (const std::int64_t pairs : kPairs) {
      fmt::print("{:>9}", fmt::format("{:.0f}|{:.0f}", 100 * c.recall(c.uniform, pairs),
                                      100 * c.recall(c.dynamic, pairs)));
    }
    fmt::print("  uniform|dynamic\n");
  }
  fmt::print("\ntokens for the same recall, uniform | dynamic | ratio\n");
  for (const auto& [kind, c] : all) {
    fmt::print("{:<14}", kind);
    for (const double recall : {0.8, 0.9, 0.95}) {
      const auto u = c.needed(c.uniform, recall), d = c.needed(c.dynamic, recall);
      fmt::print(
          "  {:.0f} %: {:>6} | {:>6} | {:<6}", 100 * recall,
          u ? std::to_string(u * kPairTokens) : "never",
          d ? std::to_string(d * kPairTokens) : "never",
          u && d ? fmt::format("{:.2f}", static_cast<double>(d) / static_cast<double>(u)) : "");
    }
    fmt::print("\n");
  }
}

nlohmann::ordered_json json_of(const std::map<std::string, Counts>& all, int first_seed,
                               int n_seeds) {
  nlohmann::ordered_json kinds;
  for (const auto& [kind, c] : all) {
    nlohmann::ordered_json& one = kinds[kind];
    one["events"] = c.n_events;
    for (const std::int64_t pairs : kPairs) {
      one["recall"].push_back({{"tokens", pairs * kPairTokens},
                               {"uniform", c.recall(c.uniform, pairs)},
                               {"dynamic", c.recall(c.dynamic, pairs)}});
    }
  }
  return {{"first_seed", first_seed},
          {"clips_of_each_kind", n_seeds},
          {"clip_seconds", kClipSeconds},
          {"kinds", kinds}};
}

std::string plot_of(const std::map<std::string, Counts>& all) {
  std::vector<cli::svg::Series> series;
  const double widest =
      std::log2(static_cast<double>(kPairs.back()) / static_cast<double>(kPairs.front()));
  for (const std::string kind : {"all", "cuts", "slides"}) {
    const Counts& c = all.at(kind);
    for (const auto& [name, found] : {std::pair{"uniform", &c.uniform}, {"dynamic", &c.dynamic}}) {
      cli::svg::Series& one = series.emplace_back();
      one.name = kind + ", " + name;
      for (const std::int64_t pairs : kPairs) {
        one.points.emplace_back(
            std::log2(static_cast<double>(pairs) / static_cast<double>(kPairs.front())) / widest,
            c.recall(*found, pairs));
      }
    }
  }
  const std::string body =
      cli::svg::heading(
          0, "Events seen, uniform and dynamic sampling",
          fmt::format("clips of {} s; {} tokens on the left to {} on the right, logarithmic",
                      kClipSeconds, kPairs.front() * kPairTokens, kPairs.back() * kPairTokens)) +
      cli::svg::curves(cli::svg::kHeading, series,
                       {{0, "0 %"}, {0.25, "25 %"}, {0.5, "50 %"}, {0.75, "75 %"}, {0.95, "95 %"}});
  return cli::svg::page(cli::svg::kHeading + cli::svg::curves_height(series.size()), body);
}

}  // namespace
}  // namespace qwenvl::bench

int main(int argc, char** argv) {
  using namespace qwenvl::bench;
  if (argc != 5 && argc != 6) {
    fmt::print("Usage: video_sampling SAMPLES_FOLDER N_SEEDS OUT.json OUT.svg [FIRST_SEED]\n");
    return 2;
  }
  const int n_seeds = std::max(1, std::atoi(argv[2]));
  const int first_seed = argc == 6 ? std::max(1, std::atoi(argv[5])) : 1;
  std::map<std::string, Counts> all;
  for (const std::string& kind : clip_kinds()) {
    for (int seed = first_seed; seed < first_seed + n_seeds; ++seed)
      measure(kind, static_cast<std::uint64_t>(seed), argv[1], all[kind]);
    Counts& sum = all["all"];
    const Counts& one = all[kind];
    sum.n_events += one.n_events;
    for (const auto& [pairs, found] : one.uniform) sum.uniform[pairs] += found;
    for (const auto& [pairs, found] : one.dynamic) sum.dynamic[pairs] += found;
  }
  print(all);
  std::ofstream(argv[3]) << json_of(all, first_seed, n_seeds).dump(2) << "\n";
  std::ofstream(argv[4]) << plot_of(all);
  return 0;
}
