// qwenvl video plan: what happens in a video, which frames would be seen, and what they cost. The
// model does not run.
// Before: video.cpp.   After: the engine measures and plans, video_plan_plot.cpp draws.
#include "video_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"
#include "json_text.h"
#include "model_choice.h"
#include "options.h"
#include "plot_file.h"
#include "terminal.h"

namespace qwenvl::cli {
namespace {

using Json = nlohmann::ordered_json;

struct PlanCommand {
  EngineOptions engine;
  MediaOptions media;
  std::string source, plot_path;
  bool is_json = false;
};

constexpr const char* kExamples = R"(Examples:
  qwenvl video plan clip.mp4
  qwenvl video plan clip.mp4 --max-video-tokens 4096 --plot plan.png
  qwenvl video plan lecture.mp4 --video-start 600 --video-end 900 --text-fps 12 --json

Frames are chosen by what happens (--sampling dynamic) unless --sampling uniform is given. The video
is decoded once to measure it; docs/frame_sampling.md explains the signals, the rules and the thresholds.)";

VideoSignals within(const VideoSignals& all, double begin, double end) {
  VideoSignals out;
  for (std::size_t i = 0; i < all.seconds.size(); ++i) {
    if (all.seconds[i] < begin || all.seconds[i] > end) continue;
    out.seconds.push_back(all.seconds[i]);
    out.cut.push_back(all.cut[i]);
    out.motion.push_back(all.motion[i]);
    out.text.push_back(all.text[i]);
    out.stillness.push_back(all.stillness[i]);
  }
  return out;
}

PlannedVideo planned(const PlanCommand& command) {
  Progress progress;
  const auto video = Video::open(command.source, {.reader = command.engine.video_reader});
  PlannedVideo out;
  out.facts = video->facts();
  const VideoSignals& signals = video->signals([&](double done, double all) {
    progress.show(fmt::format("measuring {:.0f} %", all > 0 ? 100 * done / all : 100));
    return true;
  });
  progress.clear();
  EngineOptions options = command.engine;
  options.model = chosen_model(options.model);
  options.on_load = percentage(progress);
  const Engine engine = Engine::open(options);
  progress.clear();

  Clip clip;
  clip.video = video;
  clip.options = command.media.clip();
  out.sampling = clip.options.dynamic.value_or(DynamicSampling());
  out.plan = engine.plan(clip);
  const double begin = out.facts.begin_seconds, end = out.facts.end_seconds;
  out.begin_seconds = std::clamp(clip.options.video_start.value_or(begin), begin, end);
  out.end_seconds = std::clamp(clip.options.video_end.value_or(end), begin, end);
  out.signals = within(signals, out.begin_seconds, out.end_seconds);
  clip.options.dynamic.reset();
  clip.options.max_tokens.reset();
  clip.options.max_frames.reset();
  try {
    out.uniform = engine.plan(clip);
  } catch (const Error& e) {
    out.uniform_refusal = e.what();
  }
  return out;
}

Json json_of(const VideoPlan& plan) {
  Json pairs = Json::array();
  for (const PlannedPair& pair : plan.pairs) {
    pairs.push_back({{"seconds", pair.seconds},
                     {"frames", {pair.first, pair.second}},
                     {"why", name_of(pair.why)},
                     {"size", {pair.width, pair.height}},
                     {"tokens", pair.n_tokens}});
  }
  return {{"tokens", plan.n_tokens}, {"max_tokens", plan.max_tokens}, {"pairs", std::move(pairs)}};
}

Json json_of(const PlannedVideo& video) {
  const VideoSignals& s = video.signals;
  Json uniform = {{"refused", video.uniform_refusal}};
  if (video.uniform)
    uniform = {{"tokens", video.uniform->n_tokens}, {"pairs", video.uniform->pairs.size()}};
  return {{"name", video.facts.name},
          {"width", video.facts.width},
          {"height", video.facts.height},
          {"fps", video.facts.average_fps},
          {"frames", video.facts.n_frames},
          {"seconds", video.facts.end_seconds - video.facts.begin_seconds},
          {"signals",
           {{"seconds", s.seconds},
            {"cut", s.cut},
            {"motion", s.motion},
            {"text", s.text},
            {"stillness", s.stillness}}},
          {"plan", json_of(video.plan)},
          {"uniform", std::move(uniform)}};
}

std::string signals_text(const VideoSignals& s, const DynamicSampling& d) {
  const auto share = [](const std::vector<float>& values, double threshold) {
    const auto n = std::count_if(values.begin(), values.end(),
                                 [&](float v) { return v >= static_cast<float>(threshold); });
    return values.empty() ? 0.0
                          : 100.0 * static_cast<double>(n) / static_cast<double>(values.size());
  };
  std::string cuts;
  int n_cuts = 0;
  for (std::size_t i = 0; i < s.cut.size(); ++i) {
    if (s.cut[i] < static_cast<float>(d.cut_threshold)) continue;
    if (++n_cuts <= 8) cuts += (n_cuts > 1 ? ", " : "") + clock_text(s.seconds[i]);
  }
  return fmt::format(
      "{} moments measured: {} cuts{}{}{}; motion in {:.1f} % of them, stillness in "
      "{:.1f} %\n",
      s.seconds.size(), n_cuts, n_cuts > 0 ? " at " : "", cuts, n_cuts > 8 ? ", …" : "",
      share(s.motion, d.motion_threshold), share(s.stillness, 1 - d.change_threshold));
}

void print(const PlannedVideo& video) {
  const VideoFacts& f = video.facts;
  write_output(fmt::format("{}: {} x {}, {} frames at {:.4g} a second, {}\n", printable(f.name),
                           f.width, f.height, f.n_frames, f.average_fps,
                           clock_text(f.end_seconds - f.begin_seconds)));
  write_output(signals_text(video.signals, video.sampling));
  struct Sum {
    int n = 0;
    std::int64_t tokens = 0;
  };
  std::map<Moment, Sum> sums;
  write_output("\n  time        frames             why     size         tokens\n");
  for (const PlannedPair& pair : video.plan.pairs) {
    ++sums[pair.why].n;
    sums[pair.why].tokens += pair.n_tokens;
    write_output(fmt::format("  {:<10}  {:<17}  {:<6}  {:<11}  {:>6}\n", clock_text(pair.seconds),
                             fmt::format("{}, {}", pair.first, pair.second), name_of(pair.why),
                             fmt::format("{} x {}", pair.width, pair.height), pair.n_tokens));
  }
  write_output("\n");
  for (const auto& [why, sum] : sums)
    write_output(fmt::format("{:<8} {:>5} pairs  {:>8} tokens\n", name_of(why), sum.n, sum.tokens));
  write_output(fmt::format(
      "{:<8} {:>5} pairs  {:>8} tokens{}\n", "all", video.plan.pairs.size(), video.plan.n_tokens,
      video.plan.max_tokens > 0 ? fmt::format(" of {}", video.plan.max_tokens) : std::string()));
  if (!video.uniform) {
    write_output(fmt::format("uniform sampling is refused: {}\n", video.uniform_refusal));
    return;
  }
  write_output(fmt::format("{:<8} {:>5} pairs  {:>8} tokens, for comparison\n", "uniform",
                           video.uniform->pairs.size(), video.uniform->n_tokens));
}

int run_plan(const PlanCommand& command) {
  PlotFile plot("--plot", command.plot_path);
  const PlannedVideo video = planned(command);
  if (command.is_json) {
    write_output(json_text(json_of(video)) + "\n");
  } else {
    print(video);
  }
  plot.finish(plot_of(video));
  return kExitOk;
}

}  // namespace

std::string clock_text(double seconds) {
  const double tenths = std::round(10 * std::max(0.0, seconds));
  const auto whole = static_cast<std::int64_t>(tenths / 10);
  const double rest = (tenths - 10.0 * static_cast<double>(whole / 60 * 60)) / 10;
  if (whole < 3600) return fmt::format("{}:{:04.1f}", whole / 60, rest);
  return fmt::format("{}:{:02}:{:04.1f}", whole / 3600, whole / 60 % 60, rest);
}

void add_video_plan(CLI::App& video, Chosen& chosen) {
  CLI::App& command = *video.add_subcommand(
      "plan", "Show what happens in a video, which frames would be seen, and what they cost");
  command.footer(kExamples);
  auto state = std::make_shared<PlanCommand>();
  state->media.is_dynamic = true;
  command.add_option("VIDEO", state->source, "File, or file:// or http(s):// address")->required();
  add_model_option(command, state->engine.model);
  add_media_options(command, state->media);
  command.add_option("--plot", state->plot_path, "Draw signals, thresholds and chosen pairs")
      ->check(plot_path());
  command.add_flag("--json", chosen.is_json_wanted, "One JSON object, with every signal");
  command.callback([state, &chosen] {
    chosen.run = [state, &chosen] {
      state->is_json = chosen.is_json_wanted;
      return run_plan(*state);
    };
  });
}

}  // namespace qwenvl::cli
