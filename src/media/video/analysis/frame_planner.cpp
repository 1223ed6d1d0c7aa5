// Every segment wishes for frames at the rate of its kind; one share of all wishes fits the budget.
#include "media/video/analysis/frame_planner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "media/video/analysis/segments.h"

namespace qwenvl {
namespace {

constexpr int kBisections = 40;
constexpr double kFaintMotion = 0.125;  // of the strongest motion
constexpr double kHighestFps = 1e4, kMostDetail = 64;

void check(const DynamicSampling& wish) {
  for (const auto& [name, value] : {std::pair{"cut_fps", wish.cut_fps},
                                    {"motion_fps", wish.motion_fps},
                                    {"text_fps", wish.text_fps},
                                    {"calm_fps", wish.calm_fps},
                                    {"still_fps", wish.still_fps}}) {
    if (!(value > 0 && value <= kHighestFps)) {
      fail(ErrorKind::bad_request, "{}: found {}, expected frames a second, above 0 and at most {}",
           name, value, kHighestFps);
    }
  }
  for (const auto& [name, value] : {std::pair{"cut_threshold", wish.cut_threshold},
                                    {"motion_threshold", wish.motion_threshold},
                                    {"text_threshold", wish.text_threshold},
                                    {"change_threshold", wish.change_threshold}}) {
    if (!(value > 0 && std::isfinite(value)))
      fail(ErrorKind::bad_request, "{}: found {}, expected a number above 0", name, value);
  }
  if (!(wish.around_seconds >= 0 && std::isfinite(wish.around_seconds)))
    fail(ErrorKind::bad_request, "around_seconds: found {}, expected 0 or more",
         wish.around_seconds);
  if (!(wish.text_detail >= 1 && wish.text_detail <= kMostDetail)) {
    fail(ErrorKind::bad_request, "text_detail: found {}, expected 1 to {}", wish.text_detail,
         kMostDetail);
  }
}

void check(const PlanBudget& budget) {
  const std::int64_t least = budget.pair_tokens(1);
  if (budget.max_tokens < least) {
    fail(ErrorKind::bad_request,
         "the budget of {} tokens is too small: one pair of frames takes {}; raise max_tokens "
         "(--max-video-tokens), or give frames fewer pixels",
         budget.max_tokens, least);
  }
  if (budget.max_frames < 2) {
    fail(ErrorKind::bad_request, "the budget of {} frames is too small, expected at least 2",
         budget.max_frames);
  }
}

double rate_of(Moment kind, const DynamicSampling& wish) {
  switch (kind) {
    case Moment::cut: return wish.cut_fps;
    case Moment::motion: return wish.motion_fps;
    case Moment::text: return wish.text_fps;
    case Moment::still: return wish.still_fps;
    case Moment::calm:
    case Moment::even: break;
  }
  return wish.calm_fps;
}

// How much of the wishes is granted.
struct Grant {
  double density = 1;   // share of every rate; events keep one pair
  double standing = 1;  // share of the texts that a later pair shows, too, with a pair of their own
  double detail = 1;    // of text
};

// How many pairs each segment gets, and their cost.
struct Allotment {
  std::vector<std::int64_t> pairs;
  std::int64_t n_pairs = 0, n_tokens = 0;
  double detail = 1;  // of text
};

class Planner {
 public:
  Planner(const FrameIndex& index, std::vector<Segment> segments, const DynamicSampling& wish,
          const PlanBudget& budget)
      : index_(index), segments_(std::move(segments)), wish_(wish), budget_(budget) {}

  bool is_even() const;
  PlannedFrames even(const std::function<FrameSchedule(double fps)>& make) const;
  PlannedFrames uneven() const;

 private:
  Allotment allot(const Grant& grant) const;
  Grant largest_grant() const;
  Allotment few_events() const;
  void drop_faint_motions(std::vector<std::size_t>& events, std::size_t n_pairs) const;
  void add_cost(const Segment& segment, std::int64_t n, Allotment& out) const;
  bool fits(const Allotment& a) const {
    return a.n_tokens <= budget_.max_tokens && 2 * a.n_pairs <= budget_.max_frames;
  }
  void place(const Segment& segment, std::int64_t n, double detail, FrameSchedule& out) const;
  std::int64_t n_left_out(const Allotment& a) const;
  std::int64_t n_events() const {
    return std::count_if(segments_.begin(), segments_.end(),
                         [](const Segment& s) { return s.is_event; });
  }

  const FrameIndex& index_;
  const std::vector<Segment> segments_;
  const DynamicSampling& wish_;
  const PlanBudget& budget_;
};

// One kind throughout and no cut, or one rate for all kinds.
bool Planner::is_even() const {
  const double rate = rate_of(segments_.front().kind, wish_);
  const std::array<double, 5> rates{wish_.cut_fps, wish_.motion_fps, wish_.text_fps, wish_.calm_fps,
                                    wish_.still_fps};
  return segments_.size() == 1 ||
         std::all_of(rates.begin(), rates.end(), [&](double r) { return r == rate; });
}

PlannedFrames Planner::even(const std::function<FrameSchedule(double fps)>& make) const {
  const double wished = rate_of(segments_.front().kind, wish_);
  const double seconds = segments_.back().end_seconds - segments_.front().begin_seconds;
  const std::int64_t pair_tokens = budget_.pair_tokens(1);
  const std::int64_t most =
      2 * std::min(budget_.max_tokens / pair_tokens, budget_.max_frames / 2);  // frames
  const auto n_of = [](const FrameSchedule& s) {
    return static_cast<std::int64_t>(s.frames.size() + s.frames.size() % 2);
  };
  double fps = wished;
  FrameSchedule schedule = make(fps);
  // The sampler rounds in its own way: a few steps at most.
  for (std::int64_t target = most; n_of(schedule) > most; target -= 2) {
    if (target < 2 || !(seconds > 0)) {
      fail(ErrorKind::bad_request,
           "the budget of {} tokens and {} frames is too small: {} frames are the fewest, which "
           "take {} tokens",
           budget_.max_tokens, budget_.max_frames, n_of(schedule),
           n_of(schedule) / 2 * pair_tokens);
    }
    fps = std::min(wished, static_cast<double>(target) / seconds);
    schedule = make(fps);
  }
  PlannedFrames out;
  out.n_tokens = n_of(schedule) / 2 * pair_tokens;
  out.schedule = std::move(schedule);
  out.share = fps / wished;
  out.n_events = n_events();
  return out;
}

void Planner::add_cost(const Segment& segment, std::int64_t n, Allotment& out) const {
  out.n_pairs += n;
  out.n_tokens += n * budget_.pair_tokens(segment.kind == Moment::text ? out.detail : 1);
}

Allotment Planner::allot(const Grant& grant) const {
  Allotment out;
  out.detail = grant.detail;
  out.pairs.reserve(segments_.size());
  double owed = 0;           // fractions of pairs that calm segments did not get
  double owed_standing = 0;  // and standing texts
  for (const Segment& segment : segments_) {
    const double wished =
        grant.density * rate_of(segment.kind, wish_) * std::max(0.0, segment.seconds()) / 2;
    const std::int64_t most = (segment.end - segment.first + 1) / 2;
    std::int64_t n = 0;
    if (segment.is_event) {
      std::int64_t least = 1;
      if (segment.is_seen_later) {
        owed_standing += grant.standing;
        least = owed_standing >= 1 ? 1 : 0;
        owed_standing -= static_cast<double>(least);
      }
      n = std::max<std::int64_t>(least, std::llround(std::floor(wished)));
      owed = 0;
    } else {
      owed += wished;
      n = std::llround(std::floor(owed));
      owed -= static_cast<double>(n);
    }
    out.pairs.push_back(std::min(n, most));
    add_cost(segment, out.pairs.back(), out);
  }
  return out;
}

// Where events outnumber pairs, motions that are faint beside the strongest go first, the faintest
// before others.
void Planner::drop_faint_motions(std::vector<std::size_t>& events, std::size_t n_pairs) const {
  if (events.size() <= n_pairs) return;
  double strongest = 0;
  for (const std::size_t e : events) {
    if (segments_[e].kind == Moment::motion)
      strongest = std::max(strongest, segments_[e].most_motion);
  }
  std::vector<std::size_t> faint;
  for (const std::size_t e : events) {
    if (segments_[e].kind == Moment::motion && segments_[e].most_motion < kFaintMotion * strongest)
      faint.push_back(e);
  }
  std::stable_sort(faint.begin(), faint.end(), [&](std::size_t a, std::size_t b) {
    return segments_[a].most_motion < segments_[b].most_motion;
  });
  faint.resize(std::min(faint.size(), events.size() - n_pairs));
  std::vector<bool> is_dropped(segments_.size());
  for (const std::size_t e : faint) is_dropped[e] = true;
  std::erase_if(events, [&](std::size_t e) { return is_dropped[e]; });
}

// One pair for the most telling of each group of neighbouring events.
Allotment Planner::few_events() const {
  const auto weight = [&](const Segment& s) {
    const int kind = s.kind == Moment::text ? 2 : s.kind == Moment::cut ? 1 : 0;
    return std::pair(kind, s.seconds());
  };
  std::vector<std::size_t> events;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].is_event && !segments_[i].is_seen_later) events.push_back(i);
  }
  const auto n_pairs = static_cast<std::size_t>(
      std::min(budget_.max_tokens / budget_.pair_tokens(1), budget_.max_frames / 2));
  drop_faint_motions(events, n_pairs);
  Allotment out;
  out.pairs.resize(segments_.size());
  for (std::size_t group = 0; group < n_pairs; ++group) {
    std::size_t best = events[group * events.size() / n_pairs];
    for (std::size_t e = group * events.size() / n_pairs; e < (group + 1) * events.size() / n_pairs;
         ++e) {
      if (weight(segments_[events[e]]) > weight(segments_[best])) best = events[e];
    }
    out.pairs[best] = 1;
    add_cost(segments_[best], 1, out);
  }
  return out;
}

// Events without a pair, but for text that the pair of a later text shows.
std::int64_t Planner::n_left_out(const Allotment& a) const {
  std::int64_t out = 0;
  bool is_text_seen = false;  // the next one
  for (std::size_t i = segments_.size(); i-- > 0;) {
    const Segment& segment = segments_[i];
    if (!segment.is_event) continue;
    const bool is_seen = a.pairs[i] > 0 || (segment.is_seen_later && is_text_seen);
    out += is_seen ? 0 : 1;
    if (segment.is_text_complete) is_text_seen = is_seen;
  }
  return out;
}

void Planner::place(const Segment& segment, std::int64_t n, double detail,
                    FrameSchedule& out) const {
  const std::vector<double>& s = index_.seconds;
  const auto frame_at = [&](double seconds) {
    const auto begin = s.begin() + segment.first, end = s.begin() + segment.end;
    return std::max(segment.first, std::upper_bound(begin, end, seconds) - s.begin() - 1);
  };
  const double step = segment.seconds() / static_cast<double>(n);
  const double half = std::min(step / 4, 0.5 / wish_.calm_fps);
  for (std::int64_t k = 0; k < n; ++k) {
    const double middle = segment.begin_seconds + (static_cast<double>(k) + 0.5) * step;
    const std::int64_t first =
        std::max(frame_at(middle - half), out.frames.empty() ? 0 : out.frames.back());
    std::int64_t second = std::max(first, frame_at(middle + half));
    if (second == first && first + 1 < segment.end) ++second;
    out.frames.push_back(first);
    out.frames.push_back(second);
    const auto time = [&](std::int64_t frame) { return s[static_cast<std::size_t>(frame)]; };
    out.pair_seconds.push_back(time(first) - time(out.frames.front()));
    out.pair_detail.push_back(segment.kind == Moment::text ? detail : 1);
    out.pair_moments.push_back(segment.kind);
  }
}

// What the whole wish is too much for is given up in this order: density, pairs for text that a
// later pair shows, too, the detail of text; only then events, which is too much for any grant.
Grant Planner::largest_grant() const {
  Grant most{1, 1, wish_.text_detail};
  for (const auto& [part, least] :
       {std::pair{&Grant::density, 0.0}, {&Grant::standing, 0.0}, {&Grant::detail, 1.0}}) {
    if (fits(allot(most))) return most;
    Grant low = most, high = most;
    low.*part = least;
    most = low;
    if (!fits(allot(low))) continue;
    for (int i = 0; i < kBisections; ++i) {
      Grant middle = low;
      middle.*part = (low.*part + high.*part) / 2;
      (fits(allot(middle)) ? low : high) = middle;
    }
    return low;
  }
  return most;
}

PlannedFrames Planner::uneven() const {
  const Grant grant = largest_grant();
  Allotment allotment = allot(grant);
  if (!fits(allotment)) allotment = few_events();
  PlannedFrames out;
  out.n_events = n_events();
  out.n_left_out = n_left_out(allotment);
  for (std::size_t i = 0; i < segments_.size(); ++i)
    place(segments_[i], allotment.pairs[i], allotment.detail, out.schedule);
  out.n_tokens = allotment.n_tokens;
  out.share = grant.density;
  return out;
}

}  // namespace

PlannedFrames plan_frames(const FrameIndex& index, const SignalTrack& track,
                          const DynamicSampling& wish, const PlanBudget& budget,
                          const std::function<FrameSchedule(double fps)>& even) {
  check(wish);
  check(budget);
  QWENVL_CHECK(!track.moments.empty(), "plan_frames: no moments");
  const Planner planner(index, segments_of(index, track, wish), wish, budget);
  return planner.is_even() ? planner.even(even) : planner.uneven();
}

}  // namespace qwenvl
