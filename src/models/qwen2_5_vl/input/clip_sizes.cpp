// Before: a ClipWish and the size of the first frame.   After: preprocess_clip.cpp resizes.
#include "models/qwen2_5_vl/input/clip_sizes.h"

#include <algorithm>
#include <cmath>

#include "core/log.h"

namespace qwenvl::qwen2_5_vl {
namespace {

constexpr double kLowestFps = 1e-5, kHighestFps = 1e5;  // a frame a day … beyond any camera

// Limits of qwen-vl-utils in merged tokens: of a picture, and of a frame of a clip.
constexpr double kPictureMinTokens = 4, kPictureMaxTokens = 16384;
constexpr double kFrameMinTokens = 128, kFrameMaxTokens = 768;
constexpr double kTotalTokens = 128000;  // a context; a clip may fill nine tenths of it
constexpr double kMostDetail = 1e6;

void check_pairs(std::int64_t n_pairs, const ClipWish& wish) {
  const auto n = static_cast<std::size_t>(n_pairs);
  QWENVL_CHECK(wish.pair_seconds.empty() || wish.pair_seconds.size() == n, "{} times of {} pairs",
               wish.pair_seconds.size(), n);
  QWENVL_CHECK(wish.pair_detail.empty() || wish.pair_detail.size() == n, "{} details of {} pairs",
               wish.pair_detail.size(), n);
  for (const double detail : wish.pair_detail) {
    if (!(detail > 0 && detail <= kMostDetail)) {
      fail(ErrorKind::bad_request, "detail: found {}, expected more than 0, up to {}", detail,
           kMostDetail);
    }
  }
}

}  // namespace

bool has_budget(const ClipWish& wish, ResizeRule rule) {
  return rule == ResizeRule::qwen_vl_utils || (wish.is_file && rule == ResizeRule::qwen_vl_utils11);
}

void check_clip(std::int64_t n_frames, const ClipWish& wish, ResizeRule rule) {
  if (n_frames < 1) fail(ErrorKind::bad_request, "clip: found no frames, expected at least one");
  const bool has_rate = wish.fps >= kLowestFps && wish.fps <= kHighestFps;  // NaN has not
  if (!has_rate && wish.pair_seconds.empty()) {
    fail(ErrorKind::bad_request, "fps: found {}, expected {} to {} frames a second", wish.fps,
         kLowestFps, kHighestFps);
  }
  check_pairs((n_frames + 1) / 2, wish);
  check_wish(wish.frame);
  if (wish.budget_tokens && *wish.budget_tokens < 1)
    fail(ErrorKind::bad_request, "max_tokens: found {}, expected at least 1", *wish.budget_tokens);
  if (!wish.total_pixels) return;
  if (*wish.total_pixels < 1) {
    fail(ErrorKind::bad_request, "total_pixels: found {}, expected at least 1", *wish.total_pixels);
  }
  if (!has_budget(wish, rule) || wish.frame.resized_height) {
    fail(ErrorKind::bad_request,
         "total_pixels: it has a meaning with the resize rule qwen_vl_utils only (for video files "
         "also qwen_vl_utils11), and not beside resized_height and resized_width");
  }
}

ClipSizes::ClipSizes(std::int64_t n_frames, PixelSize first, const ClipWish& wish,
                     const PreprocessOptions& options, const VisionConfig& vision,
                     const PreprocessorConfig& preprocessor)
    : n_pairs_((n_frames + 1) / 2),
      first_(first),
      wish_(wish),
      rule_(options.rule),
      has_budget_(has_budget(wish, options.rule)),
      factor_(vision.grid_pixels()),
      preprocessor_(preprocessor) {
  check_clip(n_frames, wish, rule_);
  for (std::int64_t pair = 0; pair < n_pairs_; ++pair) {
    const double detail = detail_of(pair);
    weight_ += detail;
    const auto known = std::find_if(details_.begin(), details_.end(),
                                    [&](const auto& entry) { return entry.first == detail; });
    if (known == details_.end())
      details_.emplace_back(detail, 1);
    else
      ++known->second;
  }
  warn();
  if (wish_.budget_tokens) keep_budget();
  n_tokens_ = total_tokens(cap_);
  for (const auto& [detail, n] : details_) steps_.push_back(steps({cap_, detail}));
}

double ClipSizes::detail_of(std::int64_t pair) const {
  return wish_.pair_detail.empty() ? 1 : wish_.pair_detail[static_cast<std::size_t>(pair)];
}

const ClipSteps& ClipSizes::of_pair(std::int64_t pair) const {
  const double detail = detail_of(pair);
  std::size_t i = 0;
  while (details_[i].first != detail) ++i;
  return steps_[i];
}

std::int64_t ClipSizes::n_tokens(const ClipSteps& steps) const {
  return (steps.processed.height / factor_) * (steps.processed.width / factor_);
}

ClipSteps ClipSizes::least(double detail) const { return steps({lower_limit(), detail}); }

// Of the step that decides.
double ClipSizes::lower_limit() const {
  if (wish_.frame.min_pixels) return static_cast<double>(*wish_.frame.min_pixels);
  if (rule_ == ResizeRule::hf) return static_cast<double>(preprocessor_.min_pixels);
  return (has_budget_ ? kFrameMinTokens : kPictureMinTokens) *
         static_cast<double>(factor_ * factor_);
}

// What a frame may have of the budget of a clip.
double ClipSizes::upper_limit() const {
  const double area = static_cast<double>(factor_ * factor_);
  const double total =
      wish_.total_pixels ? static_cast<double>(*wish_.total_pixels) : kTotalTokens * area * 0.9;
  const double high = std::min(kFrameMaxTokens * area, total / (2 * weight_) * 2);
  return std::max(high, std::trunc(lower_limit() * 1.05));
}

void ClipSizes::warn() const {
  if (!has_budget_ || !wish_.frame.max_pixels) return;
  const double high = upper_limit(), wanted = static_cast<double>(*wish_.frame.max_pixels);
  if (wanted > high)
    log(LogLevel::warning, "clip: max_pixels {} is more than the {} a frame may have", wanted,
        high);
}

// The reference's limit, unless something is asked for that it does not know.
double ClipSizes::limited(double high, double low, Limit limit) const {
  if (!limit.cap && limit.detail == 1) return high;
  double out = (limit.cap ? std::min(high, *limit.cap) : high) * limit.detail;
  if (wish_.frame.max_pixels) out = std::min(out, static_cast<double>(*wish_.frame.max_pixels));
  return std::max(out, low);
}

// Each frame of a list as a picture. Version 0.0.14 hands its own factor over where that of a
// patch is expected: sizes become multiples of 56.
PixelSize ClipSizes::loaded(PixelSize frame, Limit limit) const {
  if (rule_ == ResizeRule::hf || wish_.is_file) return frame;
  const std::int64_t factor = rule_ == ResizeRule::qwen_vl_utils ? 2 * factor_ : factor_;
  const double area = static_cast<double>(factor * factor);
  return wished(frame, factor, kPictureMinTokens * area, kPictureMaxTokens * area,
                has_budget_ ? Limit() : limit);
}

PixelSize ClipSizes::loaded(PixelSize frame) const { return loaded(frame, {cap_, 1}); }

// The frames once more, with the budget of a clip.
PixelSize ClipSizes::budgeted(PixelSize loaded, Limit limit) const {
  if (!has_budget_) return loaded;
  const double area = static_cast<double>(factor_ * factor_);
  if (wish_.frame.resized_height)
    return wished(loaded, factor_, kPictureMinTokens * area, kPictureMaxTokens * area, {});
  const double low = lower_limit();
  double high = upper_limit();
  if (wish_.frame.max_pixels) high = std::min(high, static_cast<double>(*wish_.frame.max_pixels));
  if (low > high) {
    fail(ErrorKind::bad_request,
         "max_pixels: found {}, below the {} that a frame of a clip gets at least: lower "
         "min_pixels, too",
         high, low);
  }
  return limited_size(loaded.height, loaded.width, factor_, low, limited(high, low, limit), rule_);
}

// The video processor, which comes last.
PixelSize ClipSizes::processed(PixelSize budgeted, Limit limit) const {
  const double low = static_cast<double>(preprocessor_.min_pixels);
  const double high = static_cast<double>(preprocessor_.max_pixels);
  if (rule_ == ResizeRule::hf) return wished(budgeted, factor_, low, high, limit);
  return limited_size(budgeted.height, budgeted.width, factor_, low, high, ResizeRule::hf);
}

PixelSize ClipSizes::wished(PixelSize frame, std::int64_t factor, double low, double high,
                            Limit limit) const {
  const SizeWish& wish = wish_.frame;
  if (wish.min_pixels) low = static_cast<double>(*wish.min_pixels);
  if (wish.max_pixels) high = static_cast<double>(*wish.max_pixels);
  if (!wish.resized_height) high = limited(high, low, limit);
  return limited_size(wish.resized_height.value_or(static_cast<int>(frame.height)),
                      wish.resized_width.value_or(static_cast<int>(frame.width)), factor, low, high,
                      rule_);
}

ClipSteps ClipSizes::steps(Limit limit) const {
  ClipSteps out{loaded(first_, limit), {}, {}};
  out.budgeted = budgeted(out.loaded, limit);
  out.processed = processed(out.budgeted, limit);
  return out;
}

std::int64_t ClipSizes::total_tokens(std::optional<double> cap) const {
  std::int64_t total = 0;
  for (const auto& [detail, n] : details_) total += n * n_tokens(steps({cap, detail}));
  return total;
}

// The largest limit, in whole pixels, that keeps it.
void ClipSizes::keep_budget() {
  const std::int64_t budget = *wish_.budget_tokens;
  const std::int64_t wanted = total_tokens({});
  if (wanted <= budget) return;
  auto fits = static_cast<std::int64_t>(std::ceil(lower_limit()));
  const std::int64_t least = total_tokens(static_cast<double>(fits));
  if (least > budget) refuse_budget(least);
  // Beyond both limits no cap has an effect.
  std::int64_t exceeds = 1;
  while (exceeds <= fits || total_tokens(static_cast<double>(exceeds)) <= budget) exceeds *= 2;
  while (exceeds - fits > 1) {
    const std::int64_t middle = fits + (exceeds - fits) / 2;
    (total_tokens(static_cast<double>(middle)) <= budget ? fits : exceeds) = middle;
  }
  cap_ = static_cast<double>(fits);
}

void ClipSizes::refuse_budget(std::int64_t least) const {
  std::string sum;
  for (const auto& [detail, n] : details_) {
    const std::int64_t each = n_tokens(this->least(detail));
    sum += fmt::format("{}{} × {}", sum.empty() ? "" : " + ", n, each);
  }
  const ClipSteps usual = this->least(1);
  const PixelSize frame = usual.processed;
  const bool is_fixed = wish_.frame.resized_height.has_value();
  std::string why = "resized_height and resized_width fix their size";
  if (!is_fixed) why = fmt::format("min_pixels is {}", lower_limit());
  if (!is_fixed && usual.processed != usual.budgeted) {
    why += fmt::format(", the model's own limits {} and {}", preprocessor_.min_pixels,
                       preprocessor_.max_pixels);
  }
  fail(
      ErrorKind::bad_request,
      "clip: {} pairs of frames are at least {} = {} tokens (frames of {}×{} pixels: {}), expected "
      "at most the {} of max_tokens (--max-video-tokens): give fewer frames, {}, or raise it",
      n_pairs_, sum, least, frame.width, frame.height, why, *wish_.budget_tokens,
      is_fixed ? "a smaller size" : "lower min_pixels");
}

}  // namespace qwenvl::qwen2_5_vl
