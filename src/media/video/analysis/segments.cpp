// Thresholds turn signals into kinds of moments; runs of one kind become segments.
#include "media/video/analysis/segments.h"

#include <algorithm>

namespace qwenvl {
namespace {

constexpr double kMotionGap = 0.25;                       // seconds of rest within one motion
constexpr double kShortestMotion = 0.15;                  // what is shorter is a disturbance
constexpr double kBurstFactor = 1.5, kBurstExcess = 0.1;  // over the median of a motion
constexpr double kTextGap = 0.3,
                 kLongestText = 1;  // of blocks that are complete one after the other

class Labels {
 public:
  Labels(const FrameIndex& index, const SignalTrack& track, const DynamicSampling& wish)
      : index_(index), moments_(track.moments), wish_(wish) {
    kinds_.resize(moments_.size());
    is_start_.resize(moments_.size());
    is_complete_.resize(moments_.size());
    is_cut_.resize(moments_.size());
    is_seen_later_.resize(moments_.size());
    label_scenes();
    label_motion();
    label_cuts();
    label_text();
    label_standing_text();
  }

  std::vector<Segment> runs() const;

 private:
  double seconds(std::size_t i) const { return index_.seconds[moments_[i].frame]; }
  void label_scenes();
  void label_motion();
  void label_bursts(std::size_t first, std::size_t end);
  void label_cuts();
  void label_text();
  void label_standing_text();
  struct Group {
    std::size_t last;  // moment
    double share;
  };
  Group group_from(std::size_t first, std::uint8_t MeasuredMoment::*signal) const;
  void label_around(std::size_t first, std::size_t last, Moment kind);
  Segment segment(std::size_t first, std::size_t end) const;

  const FrameIndex& index_;
  const std::vector<MeasuredMoment>& moments_;
  const DynamicSampling& wish_;
  std::vector<Moment> kinds_;
  std::vector<bool> is_cut_, is_complete_, is_start_;  // a segment begins here
  std::vector<bool> is_seen_later_;                    // the text that is complete here
};

void Labels::label_scenes() {
  for (std::size_t i = 0; i < moments_.size(); ++i) {
    is_cut_[i] = i > 0 && share_of(moments_[i].cut) >= wish_.cut_threshold;
    is_start_[i] = i == 0 || is_cut_[i];
    kinds_[i] = share_of(moments_[i].motion) >= wish_.motion_threshold   ? Moment::motion
                : share_of(moments_[i].change) >= wish_.change_threshold ? Moment::calm
                                                                         : Moment::still;
  }
}

// Short rests belong to a motion; what is short itself is none.
void Labels::label_motion() {
  const std::size_t n = moments_.size();
  for (std::size_t i = 0; i < n; ++i) {
    if (kinds_[i] != Moment::motion) continue;
    std::size_t end = i + 1;  // of the motion
    for (std::size_t j = end; j < n && seconds(j) - seconds(end - 1) <= kMotionGap && !is_cut_[j];
         ++j) {
      if (kinds_[j] == Moment::motion) end = j + 1;
    }
    const double until = end < n ? seconds(end) : index_.end_seconds;
    const Moment kind = until - seconds(i) >= kShortestMotion ? Moment::motion : Moment::calm;
    if (kind == Moment::motion) label_bursts(i, end);
    std::fill(kinds_.begin() + static_cast<std::ptrdiff_t>(i),
              kinds_.begin() + static_cast<std::ptrdiff_t>(end), kind);
    i = end - 1;
  }
}

// Within a long motion, what moves much more than usual is an event of its own.
void Labels::label_bursts(std::size_t first, std::size_t end) {
  std::vector<std::uint8_t> sorted;
  for (std::size_t i = first; i < end; ++i) sorted.push_back(moments_[i].motion);
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const double least = std::max(kBurstFactor * share_of(*middle), share_of(*middle) + kBurstExcess);
  for (std::size_t i = first; i < end; ++i) {
    if (share_of(moments_[i].motion) < least) continue;
    std::size_t last = i;
    for (std::size_t j = i + 1; j < end && seconds(j) - seconds(last) <= kMotionGap; ++j) {
      if (share_of(moments_[j].motion) >= least) last = j;
    }
    if (seconds(last) - seconds(i) >= kShortestMotion) {
      is_start_[i] = true;
      if (last + 1 < end) is_start_[last + 1] = true;
    }
    i = last;
  }
}

// Moments of the same scene as `first` and `last`, and between or near them in time.
void Labels::label_around(std::size_t first, std::size_t last, Moment kind) {
  const double from = seconds(first) - wish_.around_seconds;
  const double to = seconds(last) + wish_.around_seconds;
  std::size_t i = first;
  while (i > 0 && !is_cut_[i] && seconds(i - 1) >= from) --i;
  for (; i < moments_.size() && seconds(i) <= to && (i <= last || !is_cut_[i]); ++i) {
    if (kind == Moment::text || kinds_[i] != Moment::text) kinds_[i] = kind;
  }
}

void Labels::label_cuts() {
  for (std::size_t i = 1; i < moments_.size(); ++i) {
    if (!is_cut_[i]) continue;
    label_around(i - 1, i - 1, Moment::cut);
    label_around(i, i, Moment::cut);
  }
}

// Blocks whose text appears, or goes away, from moment `first` on, one after the other.
Labels::Group Labels::group_from(std::size_t first, std::uint8_t MeasuredMoment::*signal) const {
  Group out{first, share_of(moments_[first].*signal)};
  for (std::size_t i = first + 1;
       i < moments_.size() && !is_cut_[i] && seconds(i) - seconds(out.last) <= kTextGap &&
       seconds(i) - seconds(first) <= kLongestText;
       ++i) {
    if (moments_[i].*signal == 0) continue;
    out.share += share_of(moments_[i].*signal);
    out.last = i;
  }
  return out;
}

void Labels::label_text() {
  for (std::size_t i = 0; i < moments_.size(); ++i) {
    if (moments_[i].text == 0) continue;
    const Group group = group_from(i, &MeasuredMoment::text);
    if (group.share >= wish_.text_threshold) {
      label_around(i, group.last, Moment::text);
      is_start_[group.last] = is_complete_[group.last] = true;
    }
    i = group.last;
  }
}

// Text stands until enough of it goes away, or the scene ends.
void Labels::label_standing_text() {
  std::vector<bool> is_gone = is_cut_;
  for (std::size_t i = 0; i < moments_.size(); ++i) {
    if (moments_[i].text_gone == 0) continue;
    const Group group = group_from(i, &MeasuredMoment::text_gone);
    if (group.share >= wish_.text_threshold) is_gone[i] = true;
    i = group.last;
  }
  bool is_followed = false;
  for (std::size_t i = moments_.size(); i-- > 0;) {
    if (is_complete_[i]) {
      is_seen_later_[i] = is_followed;
      is_followed = true;
    }
    if (is_gone[i]) is_followed = false;
  }
}

Segment Labels::segment(std::size_t first, std::size_t end) const {
  Segment out;
  out.first = moments_[first].frame;
  // Frames that were not measured may lie on either side of a cut: they are not used.
  const bool is_last = end == moments_.size();
  out.end = is_last || is_cut_[end] ? moments_[end - 1].frame + 1 : moments_[end].frame;
  out.begin_seconds = index_.seconds[static_cast<std::size_t>(out.first)];
  out.end_seconds = out.end < index_.size() ? index_.seconds[static_cast<std::size_t>(out.end)]
                                            : index_.end_seconds;
  out.kind = kinds_[first];
  for (std::size_t i = first; i < end; ++i)
    out.most_motion = std::max(out.most_motion, share_of(moments_[i].motion));
  out.is_text_complete = is_complete_[first];
  out.is_seen_later = first > 0 && is_seen_later_[first] && !is_cut_[first];
  out.is_event = first == 0 || is_complete_[first] || is_cut_[first] || out.kind == Moment::motion;
  return out;
}

std::vector<Segment> Labels::runs() const {
  std::vector<Segment> out;
  for (std::size_t first = 0; first < moments_.size();) {
    std::size_t end = first + 1;
    while (end < moments_.size() && kinds_[end] == kinds_[first] && !is_start_[end]) ++end;
    out.push_back(segment(first, end));
    first = end;
  }
  return out;
}

}  // namespace

std::vector<Segment> segments_of(const FrameIndex& index, const SignalTrack& track,
                                 const DynamicSampling& wish) {
  return Labels(index, track, wish).runs();
}

}  // namespace qwenvl
