// How large the frames of a clip are made: the loader's rules, then the video processor's, within a
// budget. Private to src/models/qwen2_5_vl.
// Before: a ClipWish and the size of the first frame.   After: preprocess_clip.cpp resizes.
// Mirrors fetch_video of qwen-vl-utils, for a list of frames and for a file, and
// Qwen2VLVideoProcessor.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "models/qwen2_5_vl/input/preprocess.h"

namespace qwenvl::qwen2_5_vl {

// Whether frames get the budget of a clip, after which they are float tensors.
bool has_budget(const ClipWish& wish, ResizeRule rule);

// Throws bad_request for what no clip can be.
void check_clip(std::int64_t n_frames, const ClipWish& wish, ResizeRule rule);

// The sizes that a frame goes through.
struct ClipSteps {
  PixelSize loaded, budgeted, processed;
  bool operator==(const ClipSteps&) const = default;
};

class ClipSizes {
 public:
  // `first` is the size of the first frame. Where wish.budget_tokens is less than the rules would
  // make of the clip, the upper limit of all sizes is lowered until it is kept; throws bad_request
  // where even min_pixels is too much.
  ClipSizes(std::int64_t n_frames, PixelSize first, const ClipWish& wish,
            const PreprocessOptions& options, const VisionConfig& vision,
            const PreprocessorConfig& preprocessor);

  const ClipSteps& of_pair(std::int64_t pair) const;
  PixelSize loaded(PixelSize frame) const;  // the first step alone
  std::int64_t n_tokens(const ClipSteps& steps) const;
  std::int64_t n_tokens() const { return n_tokens_; }  // of all pairs
  // At min_pixels, times the detail.
  ClipSteps least(double detail) const;

 private:
  // The most pixels that one step may give a frame of the usual size, and what its detail makes of
  // them.
  struct Limit {
    std::optional<double> cap;
    double detail = 1;
  };
  double detail_of(std::int64_t pair) const;
  double lower_limit() const;
  double upper_limit() const;
  void warn() const;
  double limited(double high, double low, Limit limit) const;
  PixelSize loaded(PixelSize frame, Limit limit) const;
  PixelSize budgeted(PixelSize loaded, Limit limit) const;
  PixelSize processed(PixelSize budgeted, Limit limit) const;
  PixelSize wished(PixelSize frame, std::int64_t factor, double low, double high,
                   Limit limit) const;
  ClipSteps steps(Limit limit) const;
  std::int64_t total_tokens(std::optional<double> cap) const;
  void keep_budget();
  [[noreturn]] void refuse_budget(std::int64_t least) const;

  const std::int64_t n_pairs_;
  const PixelSize first_;
  const ClipWish& wish_;
  const ResizeRule rule_;
  const bool has_budget_;
  const std::int64_t factor_;  // 28
  const PreprocessorConfig& preprocessor_;
  double weight_ = 0;  // pairs, each counted as often as its detail says
  std::vector<std::pair<double, std::int64_t>> details_;  // and how many pairs have them
  std::optional<double> cap_;
  std::int64_t n_tokens_ = 0;
  std::vector<ClipSteps> steps_;  // of details_
};

}  // namespace qwenvl::qwen2_5_vl
