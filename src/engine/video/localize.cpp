// A query and a long video → when it happens.
// Before: the command line has both.   After: the engine answers about windows; look_plan.cpp says
// which, window_answer.cpp weighs what it says.
#include "qwenvl/localize.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/clock.h"
#include "engine/guard.h"
#include "engine/inputs/media_inputs.h"
#include "engine/video/localize_state.h"
#include "engine/video/look_plan.h"
#include "engine/video/scored_spans.h"
#include "engine/video/window_answer.h"
#include "media/video/analysis/signals.h"

namespace qwenvl {
namespace {

constexpr double kCoarseShare = 0.5;  // of the budget, for the first look at least
constexpr double kPauseSeconds = 1;   // of quiet that ends a stretch
constexpr double kFineMargin = 1;     // seconds before and after a candidate
constexpr std::size_t kMostCandidates = 8;
constexpr double kWorthALook = 0.35;    // of the best candidate's score
constexpr double kKnowsYesAndNo = 0.5;  // probability of the two together
constexpr double kMayShowIt = 0.1;      // probability of "yes" from which on the time is asked for
constexpr double kNotSeenAgain = 0.5;
constexpr int kFewestFrames = 8;  // of a window

void check(const LocalizeOptions& o) {
  if (o.query.empty())
    fail(ErrorKind::bad_request, "localize: the query is empty, expected what to look for");
  if (!o.video.video && o.video.source.empty() && o.video.bytes.empty())
    fail(ErrorKind::bad_request, "localize: found no video; a list of frames cannot be searched");
  if (!(o.fps > 0 && o.fps <= 60)) {
    fail(ErrorKind::bad_request, "localize: {} frames a second, expected more than 0, at most 60",
         o.fps);
  }
  if (o.window_frames < kFewestFrames || o.window_frames > 768) {
    fail(ErrorKind::bad_request, "localize: windows of {} frames, expected {} to 768",
         o.window_frames, kFewestFrames);
  }
  for (const auto& seconds : {o.video.options.video_start, o.video.options.video_end}) {
    if (seconds && !std::isfinite(*seconds)) {
      fail(ErrorKind::bad_request, "localize: video_start, video_end: found {}, expected seconds",
           *seconds);
    }
  }
  if (!(o.min_confidence >= 0 && o.min_confidence <= 1)) {
    fail(ErrorKind::bad_request, "localize: a least confidence of {}, expected 0 to 1",
         o.min_confidence);
  }
  if (o.max_video_tokens < 1)
    fail(ErrorKind::bad_request, "localize: a budget of {} tokens, expected at least 1",
         o.max_video_tokens);
}

class Localizer {
 public:
  Localizer(Engine& engine, const LocalizeOptions& options)
      : engine_(engine),
        options_(options),
        video_(open_video_of(options.video, {})),
        facts_(video_->facts()),
        shown_(video_->frame_seconds()),
        state_(options.state_path, identity()) {}

  LocalizeReport run();

 private:
  std::string identity() const;
  void find_part();
  std::vector<Stretch> stretches();
  LookWish wish(std::int64_t tokens) const;
  Request request(Question question, const LookWindow& window) const;
  std::int64_t planned_pair_tokens() const;
  const WindowAnswer* ask(Question question, const LookWindow& window);
  void choose_judge(const std::vector<LookWindow>& windows);
  std::vector<ScoredSpan> look_coarsely(const std::vector<LookWindow>& windows);
  std::vector<ScoredSpan> look_closely(const std::vector<ScoredSpan>& candidates);
  std::vector<ScoredSpan> spans_in(const LookWindow& window, int number);
  void tell(const char* stage, double done, double total);

  Engine& engine_;
  const LocalizeOptions& options_;
  const std::shared_ptr<Video> video_;  // open for all windows
  const VideoFacts& facts_;
  const std::vector<double>& shown_;  // when each frame is
  LocalizeState state_;
  LocalizeReport report_;
  double begin_ = 0, end_ = 0;  // of the part that is searched
  std::int64_t pair_tokens_ = 1;
  WindowAnswer answer_;  // the last one
  std::string stage_;    // of the progress bar
  Stopwatch stage_time_;
};

std::string Localizer::identity() const {
  const ClipOptions& o = options_.video.options;
  const auto wished = [](const auto& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
  };
  const nlohmann::ordered_json json = {
      {"qwenvl_localize", 2},
      {"video", facts_.name},
      {"frames", facts_.n_frames},
      {"seconds", facts_.end_seconds},
      {"content", fmt::format("{:016x}", MediaInputs::Lease(*video_).reader().info().fingerprint)},
      {"model", options_.model},
      {"part", {wished(o.video_start), wished(o.video_end)}},
      {"max_pixels", wished(o.frame.max_pixels)},
      {"min_pixels", wished(o.frame.min_pixels)},
      {"total_pixels", wished(o.total_pixels)},
      {"resized", {wished(o.frame.resized_height), wished(o.frame.resized_width)}}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void Localizer::tell(const char* stage, double done, double total) {
  if (stage_ != stage) stage_time_.restart();
  stage_ = stage;
  if (!options_.on_progress) return;
  const double seconds = stage_time_.milliseconds() / 1000;
  const double left = done > 0 && seconds > 1 ? seconds / done * (total - done) : -1;
  options_.on_progress({stage, done, total, left});
}

void Localizer::find_part() {
  report_.video_seconds = facts_.end_seconds - facts_.begin_seconds;
  begin_ = std::max(facts_.begin_seconds, options_.video.options.video_start.value_or(-1e9));
  end_ = std::min(facts_.end_seconds, options_.video.options.video_end.value_or(1e9));
  if (!(begin_ < end_)) {
    fail(ErrorKind::bad_request, "{}: nothing between {} and {} seconds, it lasts {:.2f} s",
         facts_.name, begin_, end_, report_.video_seconds);
  }
}

std::vector<Stretch> Localizer::stretches() {
  if (state_.stretches()) {
    double last = begin_;
    for (const Stretch& s : *state_.stretches()) {
      if (!(last <= s.begin && s.begin <= s.end && s.end <= end_)) {
        fail(ErrorKind::bad_file,
             "state file {}: found change from {} to {} seconds, expected it after {} and within "
             "the {} to {} seconds that are searched: delete the file to begin anew",
             quoted(options_.state_path), s.begin, s.end, last, begin_, end_);
      }
      last = s.end;
    }
    return *state_.stretches();
  }
  std::vector<ChangeAt> changes;
  {
    MediaInputs::Lease lease(*video_);
    const auto progress = [&](double done, double total) {
      tell("measure", done, total);
      return true;
    };
    const SignalTrack track = measure_signals(lease.reader(), {}, begin_, end_, progress);
    for (const MeasuredMoment& m : track.moments)
      changes.push_back({shown_[m.frame], share_of(std::max(m.motion, m.cut))});
  }
  std::vector<Stretch> out = active_stretches(changes, kPauseSeconds);
  state_.keep(out);
  return out;
}

LookWish Localizer::wish(std::int64_t tokens) const {
  LookWish wish;
  wish.begin = begin_;
  wish.end = end_;
  wish.fps = std::min(options_.fps, facts_.average_fps);
  wish.most_frames = options_.window_frames;
  wish.fewest_frames = kFewestFrames;
  wish.most_pairs = tokens / pair_tokens_;
  return wish;
}

Request Localizer::request(Question question, const LookWindow& window) const {
  Clip clip = options_.video;
  clip.video = video_;
  clip.source.clear();
  clip.bytes.clear();
  const double fps = facts_.average_fps;
  const auto frame_at = [&](double seconds) {
    return static_cast<double>(std::lower_bound(shown_.begin(), shown_.end(), seconds) -
                               shown_.begin());
  };
  // Where a video's rate varies, its parts are named by frames at the average rate. A quarter of a
  // frame keeps rounding on the right side.
  const double last = std::min(frame_at(window.end), static_cast<double>(facts_.n_frames - 1));
  const double first = std::min(frame_at(window.begin), std::max(0.0, last - 1));
  clip.options.video_start = std::max(0.0, (first - 0.25) / fps);
  clip.options.video_end = (last + 0.25) / fps;
  const double wanted = std::floor((last - first + 1) / fps * window.fps / 2) * 2;
  const std::int64_t most = std::min<std::int64_t>(options_.window_frames, 2 * window.n_pairs());
  clip.options.fps = {};
  clip.options.n_frames = static_cast<std::int64_t>(std::max(
      2.0, std::min({wanted, static_cast<double>(most), std::floor((last - first + 1) / 2) * 2})));
  Part video;
  video.kind = Part::Kind::clip;
  video.video = std::move(clip);
  Request out;
  out.messages = {
      {"user", {std::move(video), Part::words(question_text(question, options_.query))}}};
  out.sampling.do_sample = false;
  out.sampling.max_new_tokens = most_answer_tokens(question);
  out.n_logprobs = question == Question::yes_no ? 20 : 0;
  return out;
}

// What two frames of a window cost at most: frames of fewer may be larger.
std::int64_t Localizer::planned_pair_tokens() const {
  const double fps = std::min(options_.fps, facts_.average_fps);
  std::int64_t most = 1;
  for (const int n_frames : {kFewestFrames, options_.window_frames}) {
    const LookWindow window{begin_, std::min(end_, begin_ + n_frames / fps), fps, 0};
    const Request asked = request(Question::when, window);
    for (const PlannedPair& pair : engine_.plan(asked.messages[0].parts[0].video).pairs)
      most = std::max<std::int64_t>(most, pair.n_tokens);
  }
  return most;
}

const WindowAnswer* Localizer::ask(Question question, const LookWindow& window) {
  if (const WindowAnswer* known = state_.find(question_text(question, options_.query), window)) {
    ++report_.n_known;
    report_.video_tokens += known->video_tokens;
    return known;
  }
  if (report_.video_tokens + window.n_pairs() * pair_tokens_ > options_.max_video_tokens)
    return nullptr;
  EventStream stream = engine_.submit(request(question, window));
  const Answer answer =
      options_.read_answer ? options_.read_answer(stream) : collect(std::move(stream));
  for (const Choice& choice : answer.choices) {
    if (choice.finish_reason == FinishReason::cancelled)
      fail(ErrorKind::cancelled, "localize: stopped by the caller");
  }
  answer_ = window_answer(answer);
  report_.video_tokens += answer_.video_tokens;
  state_.keep(question_text(question, options_.query), window, answer_);
  return &answer_;
}

void Localizer::choose_judge(const std::vector<LookWindow>& windows) {
  report_.judge = options_.judge;
  if (report_.judge != Judge::automatic || windows.empty()) return;
  const WindowAnswer* answer = ask(Question::yes_no, windows.front());
  report_.judge =
      answer && answer->yes + answer->no >= kKnowsYesAndNo ? Judge::yes_no : Judge::events;
}

std::vector<ScoredSpan> Localizer::spans_in(const LookWindow& window, int number) {
  std::vector<ScoredSpan> spans;
  double shows_it = 1;
  Question question = Question::events;
  if (report_.judge == Judge::yes_no) {
    const WindowAnswer* verdict = ask(Question::yes_no, window);
    if (!verdict || verdict->yes <= 0) return spans;
    shows_it = verdict->yes / (verdict->yes + verdict->no);
    question = Question::when;
    if (shows_it < kMayShowIt) return spans;
  }
  if (const WindowAnswer* answer = ask(question, window))
    spans = scored_spans(*answer, question, options_.query);
  for (ScoredSpan& span : spans) {
    span.begin = std::clamp(span.begin, begin_, end_);
    span.end = std::clamp(span.end, begin_, end_);
    span.score *= shows_it;
    span.window = number;
  }
  return spans;
}

std::vector<ScoredSpan> Localizer::look_coarsely(const std::vector<LookWindow>& windows) {
  std::vector<ScoredSpan> out;
  double done = 0;
  for (const LookWindow& window : windows) report_.coarse_seconds += window.end - window.begin;
  for (const LookWindow& window : windows) {
    tell("coarse", done, report_.coarse_seconds);
    const std::vector<ScoredSpan> spans = spans_in(window, report_.n_coarse++);
    out.insert(out.end(), spans.begin(), spans.end());
    done += window.end - window.begin;
  }
  return joined(std::move(out), 1.5 / windows.front().fps);
}

std::vector<ScoredSpan> Localizer::look_closely(const std::vector<ScoredSpan>& candidates) {
  std::vector<ScoredSpan> out;
  const LookWish fine = wish(options_.max_video_tokens);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    tell("fine", static_cast<double>(i), static_cast<double>(candidates.size()));
    const ScoredSpan& candidate = candidates[i];
    const LookWindow window = fine_window(candidate.begin, candidate.end, kFineMargin, fine);
    const bool is_affordable =
        report_.video_tokens + 2 * window.n_pairs() * pair_tokens_ <= options_.max_video_tokens;
    if (!is_affordable) {
      out.push_back(candidate);
      continue;
    }
    ++report_.n_fine;
    for (ScoredSpan& span : spans_in(window, static_cast<int>(i))) out.push_back(std::move(span));
    out.push_back(candidate);  // in case it is not seen again; that makes it half as certain
    out.back().score *= kNotSeenAgain;
  }
  return without_overlaps(std::move(out));
}

LocalizeReport Localizer::run() {
  find_part();
  pair_tokens_ = planned_pair_tokens();
  const std::vector<Stretch> active = stretches();
  for (const Stretch& stretch : active) report_.active_seconds += stretch.end - stretch.begin;
  // The closer looks are a known number; the rest of the budget is for the first.
  const auto plan = [&](int n_questions) {
    const std::int64_t closer = n_questions * static_cast<std::int64_t>(kMostCandidates) *
                                options_.window_frames / 2 * pair_tokens_;
    const auto share =
        static_cast<std::int64_t>(static_cast<double>(options_.max_video_tokens) * kCoarseShare);
    const std::int64_t first = std::max(share, options_.max_video_tokens - closer);
    return coarse_windows(active, wish(first / n_questions));
  };
  std::vector<LookWindow> windows = plan(1);
  choose_judge(windows);
  if (report_.judge == Judge::yes_no) windows = plan(2);
  if (windows.empty()) {
    fail(ErrorKind::bad_request,
         "localize: a budget of {} tokens, expected room for a window of {} ({} for two frames): "
         "raise the budget or make frames smaller",
         options_.max_video_tokens, kFewestFrames / 2 * pair_tokens_, pair_tokens_);
  }
  std::vector<ScoredSpan> candidates = without_overlaps(look_coarsely(windows));
  const double least = candidates.empty() ? 0 : candidates.front().score * kWorthALook;
  while (!candidates.empty() &&
         (candidates.size() > kMostCandidates || candidates.back().score < least))
    candidates.pop_back();
  for (ScoredSpan& span : look_closely(candidates)) {
    if (span.score >= options_.min_confidence)
      report_.events.push_back({span.begin, span.end, span.score, span.description});
  }
  report_.warnings = facts_.warnings;
  return report_;
}

}  // namespace

const char* name_of(Judge judge) {
  switch (judge) {
    case Judge::automatic: return "auto";
    case Judge::yes_no: return "yes-no";
    case Judge::events: return "events";
  }
  return "";
}

LocalizeReport localize(Engine& engine, const LocalizeOptions& options) {
  return guarded([&] {
    check(options);
    return Localizer(engine, options).run();
  });
}

}  // namespace qwenvl
