// Before: engine.cpp has a request.   After: media/ reads and decodes, the model sizes and resizes.
#include "engine/inputs/media_inputs.h"

#include <algorithm>

#include "core/check.h"
#include "engine/engine_options.h"
#include "engine/video/video_state.h"
#include "media/source.h"
#include "media/video/analysis/frame_planner.h"
#include "media/video/frame_stream.h"

namespace qwenvl {
namespace {

constexpr double kDefaultFps = 2;          // the reference's, for lists of frames
constexpr std::int64_t kFewestFrames = 4;  // of uniform sampling, unless it is told otherwise
constexpr std::int64_t kMostFrames = 768;  // as of uniform sampling, unless max_frames is given

SizeWish wish_of(const PictureOptions& o) {
  return {o.min_pixels, o.max_pixels, o.resized_height, o.resized_width};
}

void check_is_list(const ClipOptions& o) {
  if (!o.n_frames && !o.min_frames && !o.max_frames && !o.video_start && !o.video_end && !o.dynamic)
    return;
  fail(ErrorKind::bad_request,
       "nframes, min_frames, max_frames, video_start, video_end and dynamic sampling choose frames "
       "of a video; in a list of pictures all are seen");
}

void check_has_no_options(const Picture& frame, std::int64_t i) {
  const SizeWish own = wish_of(frame.options);
  if (own.min_pixels || own.max_pixels || own.resized_height || own.resized_width) {
    fail(ErrorKind::bad_request,
         "frame {} has size options of its own, expected them in the clip's", i + 1);
  }
}

bool is_video(const Clip& clip) {
  const bool has_source = !clip.source.empty() || !clip.bytes.empty();
  if (has_source + !clip.frames.empty() + (clip.video != nullptr) > 1) {
    fail(ErrorKind::bad_request,
         "clip: found frames, a video's source or an open video together, expected one of them");
  }
  return has_source || clip.video;
}

// From the first frame that is seen to the end of the last.
double seconds_seen(const FrameIndex& index, const FrameSchedule& schedule) {
  const auto last = static_cast<std::size_t>(schedule.frames.back());
  const double end = last + 1 < index.seconds.size() ? index.seconds[last + 1] : index.end_seconds;
  return end - index.seconds[static_cast<std::size_t>(schedule.frames.front())];
}

}  // namespace

std::shared_ptr<Video> open_video_of(const Clip& clip, const VideoOptions& options) {
  if (clip.video) return clip.video;
  if (clip.bytes.empty()) return Video::open(clip.source, options);
  return Video::open(clip.source.empty() ? "video" : clip.source, clip.bytes, options);
}

MediaInputs::Lease::Lease(Video& video)
    : lock_(video.state_->mutex), reader_(*video.state_->reader) {}

MediaInputs::MediaInputs(const Model& model, const EngineOptions& options, std::int64_t max_tokens)
    : model_(model),
      preprocess_(preprocess_options(options)),
      loader_(loader_of(options)),
      video_options_{options.video_reader},
      max_tokens_(max_tokens) {
  reader_style(options);  // a name that does not exist is to be told now
}

MediaInputs::Decoded MediaInputs::decode(const Picture& picture) const {
  SourceBytes source{picture.source.empty() ? "picture" : picture.source, picture.bytes};
  if (picture.bytes.empty()) source = read_source(picture.source);
  Image image = decode_image(source.bytes, source.name, loader_);
  return {std::move(source.name), std::move(image)};
}

VisionInput MediaInputs::prepare(const Picture& picture, PictureInfo& info) const {
  const Decoded decoded = decode(picture);
  VisionInput input;
  try {
    input = model_.prepare_image(decoded.image, qwenvl::wish_of(picture.options), preprocess_);
  } catch (const Error& e) {
    throw Error(e.kind(), decoded.name + ": " + e.what());
  }
  info = {decoded.name,  decoded.image.width, decoded.image.height,
          input.width(), input.height(),      static_cast<int>(input.n_tokens)};
  return input;
}

std::vector<VisionInput> MediaInputs::prepare(const Clip& clip, std::int64_t room_tokens,
                                              ClipInfo& info) const {
  info.name = clip.name;
  std::vector<VisionInput> inputs;
  try {
    inputs = is_video(clip) ? prepare_video(clip, room_tokens, info) : prepare_frames(clip, info);
  } catch (const Error& e) {
    const bool is_named = info.name.empty() || std::string(e.what()).starts_with(info.name);
    throw Error(e.kind(), is_named ? e.what() : info.name + ": " + e.what());
  }
  info.processed_width = inputs.front().width();
  info.processed_height = inputs.front().height();
  for (const VisionInput& input : inputs) info.n_tokens += static_cast<int>(input.n_tokens);
  return inputs;
}

VideoPlan MediaInputs::plan(const Clip& clip, std::int64_t room_tokens) const {
  if (!is_video(clip)) {
    fail(ErrorKind::bad_request,
         "plan: found a list of frames, all of which are seen; expected a video");
  }
  const Sampled sampled = sample(clip, room_tokens);
  VideoPlan plan;
  plan.pairs = sampled.pairs();
  plan.fps = sampled.schedule.pair_seconds.empty() ? sampled.schedule.fps : 0;
  for (const PairSize& size : sampled.sizes) plan.n_tokens += size.n_tokens;
  plan.max_tokens = sampled.wish.budget_tokens.value_or(0);
  return plan;
}

ClipWish MediaInputs::wish_of(const ClipOptions& o, double fps) const {
  ClipWish wish;
  wish.frame = qwenvl::wish_of(o.frame);
  wish.total_pixels = o.total_pixels;
  wish.fps = fps;
  wish.max_tokens = max_tokens_;
  wish.budget_tokens = o.max_tokens;
  return wish;
}

std::vector<VisionInput> MediaInputs::prepare_frames(const Clip& clip, ClipInfo& info) const {
  check_is_list(clip.options);
  info.n_frames = static_cast<int>(clip.frames.size());
  info.fps = clip.options.fps.value_or(kDefaultFps);
  info.seconds = info.n_frames / info.fps;
  info.max_tokens = clip.options.max_tokens.value_or(0);
  const auto frame = [&](std::int64_t i) {
    const Picture& picture = clip.frames[static_cast<std::size_t>(i)];
    check_has_no_options(picture, i);
    Decoded decoded = decode(picture);
    if (i == 0) {
      if (info.name.empty()) info.name = decoded.name;
      info.original_width = decoded.image.width;
      info.original_height = decoded.image.height;
    }
    return std::move(decoded.image);
  };
  return model_.prepare_clip(info.n_frames, frame, wish_of(clip.options, info.fps), preprocess_);
}

VideoReader& MediaInputs::Sampled::reader() const { return *video->state_->reader; }

std::vector<PlannedPair> MediaInputs::Sampled::pairs() const {
  const std::vector<double>& seconds = reader().index().seconds;
  std::vector<PlannedPair> out;
  for (std::size_t k = 0; k < sizes.size(); ++k) {
    PlannedPair& pair = out.emplace_back();
    pair.first = schedule.frames[2 * k];
    pair.second = schedule.frames[std::min(2 * k + 1, schedule.frames.size() - 1)];
    pair.seconds = seconds[static_cast<std::size_t>(pair.first)];
    if (!schedule.pair_moments.empty()) pair.why = schedule.pair_moments[k];
    pair.width = static_cast<int>(sizes[k].width);
    pair.height = static_cast<int>(sizes[k].height);
    pair.n_tokens = static_cast<int>(sizes[k].n_tokens);
  }
  return out;
}

// Which frames are seen, how large, and when; nothing is decoded yet but for measuring.
MediaInputs::Sampled MediaInputs::sample(const Clip& clip, std::int64_t room_tokens) const {
  const ClipOptions& o = clip.options;
  Sampled out;
  out.video = open_video_of(clip, video_options_);
  out.lock = std::unique_lock(out.video->state_->mutex);
  out.wish = wish_of(o, 0);
  out.wish.is_file = true;
  if (o.dynamic) {
    if (!out.wish.budget_tokens) out.wish.budget_tokens = room_tokens;
    sample_dynamically(o, out);
  } else {
    const VideoFacts& facts = out.video->facts();
    out.schedule = model_.sample_frames(
        facts.n_frames, facts.average_fps,
        {o.fps, o.n_frames, o.min_frames, o.max_frames, o.video_start, o.video_end}, preprocess_);
  }
  out.wish.fps = out.schedule.fps;
  out.wish.pair_seconds = out.schedule.pair_seconds;
  out.wish.pair_detail = out.schedule.pair_detail;
  const VideoFacts& facts = out.video->facts();
  out.sizes = model_.clip_sizes(static_cast<std::int64_t>(out.schedule.frames.size()), facts.width,
                                facts.height, out.wish, preprocess_);
  return out;
}

// Pairs are planned at the smallest size that min_pixels permits, so that no moment is left out for
// the sake of pixels; what the budget has left then makes all of them larger.
void MediaInputs::sample_dynamically(const ClipOptions& o, Sampled& sampled) const {
  if (o.fps || o.n_frames || o.min_frames) {
    fail(ErrorKind::bad_request,
         "fps, nframes and min_frames are for uniform sampling: dynamic sampling has a rate for "
         "each kind of moment, and max_frames");
  }
  const VideoFacts& facts = sampled.video->facts();
  const auto n_tokens = [&](double detail) {
    return model_.least_pair_size(detail, facts.width, facts.height, sampled.wish, preprocess_)
        .n_tokens;
  };
  // The uniform sampler counts seconds from the first frame.
  const auto from_first = [&](std::optional<double> seconds) {
    if (seconds) *seconds -= facts.begin_seconds;
    return seconds;
  };
  const auto even = [&](double fps) {
    // Its fewest frames may be more than the budget.
    const std::int64_t most = 2 * (*sampled.wish.budget_tokens / n_tokens(1));
    std::optional<std::int64_t> max_frames = o.max_frames;
    if (most < kFewestFrames) max_frames = std::min(most, o.max_frames.value_or(most));
    return model_.sample_frames(
        facts.n_frames, facts.average_fps,
        {fps, {}, {}, max_frames, from_first(o.video_start), from_first(o.video_end)}, preprocess_);
  };
  const PlanBudget budget{*sampled.wish.budget_tokens, o.max_frames.value_or(kMostFrames),
                          n_tokens};
  const SignalTrack track = sampled.video->state_->signals_of(o.video_start, o.video_end);
  PlannedFrames planned = plan_frames(sampled.reader().index(), track, *o.dynamic, budget, even);
  sampled.schedule = std::move(planned.schedule);
}

std::vector<VisionInput> MediaInputs::prepare_video(const Clip& clip, std::int64_t room_tokens,
                                                    ClipInfo& info) const {
  if (info.name.empty()) info.name = clip.video ? clip.video->facts().name : clip.source;
  const Sampled sampled = sample(clip, room_tokens);
  const VideoFacts& facts = sampled.video->facts();
  info.name = clip.name.empty() ? facts.name : clip.name;
  info.n_video_frames = facts.n_frames;
  info.video_fps = facts.average_fps;
  info.video_end_seconds = facts.end_seconds;
  info.original_width = facts.width;
  info.original_height = facts.height;
  info.n_frames = static_cast<int>(sampled.schedule.frames.size());
  info.pairs = sampled.pairs();
  info.max_tokens = sampled.wish.budget_tokens.value_or(0);
  const FrameIndex& index = sampled.reader().index();
  for (const std::int64_t i : sampled.schedule.frames)
    info.frame_seconds.push_back(index.seconds[static_cast<std::size_t>(i)]);
  if (sampled.schedule.pair_seconds.empty()) {
    info.fps = sampled.schedule.fps;
    info.seconds = info.n_frames / info.fps;
  } else {
    info.seconds = seconds_seen(index, sampled.schedule);
    info.fps = info.seconds > 0 ? info.n_frames / info.seconds : 0;
  }

  sampled.reader().forget_losses();  // of measuring, and of other requests
  FrameStream frames(sampled.reader(), sampled.schedule);
  std::vector<VisionInput> inputs = model_.prepare_clip(
      info.n_frames, [&](std::int64_t) { return frames.next(); }, sampled.wish, preprocess_);
  info.warnings = sampled.reader().warnings();
  return inputs;
}

}  // namespace qwenvl
