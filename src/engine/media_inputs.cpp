// Before: engine.cpp has a request.   After: media/ reads and decodes, the model sizes and resizes.
#include "engine/media_inputs.h"

#include "core/check.h"
#include "engine/engine_options.h"
#include "engine/video_state.h"
#include "media/source.h"
#include "media/video/frame_stream.h"

namespace qwenvl {
namespace {

constexpr double kDefaultFps = 2;  // the reference's, for lists of frames

SizeWish wish_of(const PictureOptions& o) {
  return {o.min_pixels, o.max_pixels, o.resized_height, o.resized_width};
}

void check_is_list(const ClipOptions& o) {
  if (!o.n_frames && !o.min_frames && !o.max_frames && !o.video_start && !o.video_end) return;
  fail(ErrorKind::bad_request,
       "nframes, min_frames, max_frames, video_start and video_end choose frames of a video; in a "
       "list of pictures all are seen");
}

void check_has_no_options(const Picture& frame, std::int64_t i) {
  const SizeWish own = wish_of(frame.options);
  if (own.min_pixels || own.max_pixels || own.resized_height || own.resized_width) {
    fail(ErrorKind::bad_request,
         "frame {} has size options of its own, expected them in the clip's", i + 1);
  }
}

}  // namespace

std::shared_ptr<Video> open_video_of(const Clip& clip, const VideoOptions& options) {
  if (clip.video) return clip.video;
  if (clip.bytes.empty()) return Video::open(clip.source, options);
  return Video::open(clip.source.empty() ? "video" : clip.source, clip.bytes, options);
}

MediaInputs::Lease::Lease(Video& video)
    : mutex_(video.state_->mutex), reader_(*video.state_->reader) {
  mutex_.lock();
}
MediaInputs::Lease::~Lease() { mutex_.unlock(); }

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

VisionInput MediaInputs::prepare(const Clip& clip, ClipInfo& info) const {
  info.name = clip.name;
  const bool has_source = !clip.source.empty() || !clip.bytes.empty();
  const bool is_video = has_source || clip.video;
  VisionInput input;
  try {
    if ((is_video && !clip.frames.empty()) || (has_source && clip.video)) {
      fail(ErrorKind::bad_request,
           "clip: found frames, a video's source or an open video together, expected one of them");
    }
    input = is_video ? prepare_video(clip, info) : prepare_frames(clip, info);
  } catch (const Error& e) {
    const bool is_named = info.name.empty() || std::string(e.what()).starts_with(info.name);
    throw Error(e.kind(), is_named ? e.what() : info.name + ": " + e.what());
  }
  info.seconds = info.n_frames / info.fps;
  info.processed_width = input.width();
  info.processed_height = input.height();
  info.n_tokens = static_cast<int>(input.n_tokens);
  return input;
}

ClipWish MediaInputs::wish_of(const ClipOptions& o, double fps) const {
  ClipWish wish;
  wish.frame = qwenvl::wish_of(o.frame);
  wish.total_pixels = o.total_pixels;
  wish.fps = fps;
  wish.max_tokens = max_tokens_;
  return wish;
}

VisionInput MediaInputs::prepare_frames(const Clip& clip, ClipInfo& info) const {
  check_is_list(clip.options);
  info.n_frames = static_cast<int>(clip.frames.size());
  info.fps = clip.options.fps.value_or(kDefaultFps);
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

VisionInput MediaInputs::prepare_video(const Clip& clip, ClipInfo& info) const {
  const ClipOptions& o = clip.options;
  const std::shared_ptr<Video> video = open_video_of(clip, video_options_);
  const VideoFacts& facts = video->facts();
  const FrameIndex& index = video->state_->reader->index();
  if (info.name.empty()) info.name = facts.name;
  info.n_video_frames = facts.n_frames;
  info.video_fps = facts.average_fps;
  info.original_width = facts.width;
  info.original_height = facts.height;
  const SamplingWish sampling{o.fps,        o.n_frames,    o.min_frames,
                              o.max_frames, o.video_start, o.video_end};
  const FrameSchedule schedule =
      model_.sample_frames(info.n_video_frames, info.video_fps, sampling, preprocess_);
  info.n_frames = static_cast<int>(schedule.frames.size());
  info.fps = schedule.fps;
  for (const std::int64_t i : schedule.frames)
    info.frame_seconds.push_back(index.seconds[static_cast<std::size_t>(i)]);

  ClipWish wish = wish_of(o, schedule.fps);
  wish.is_file = true;
  const std::lock_guard lock(video->state_->mutex);
  FrameStream frames(*video->state_->reader, schedule);
  VisionInput input = model_.prepare_clip(
      info.n_frames, [&](std::int64_t) { return frames.next(); }, wish, preprocess_);
  info.warnings = video->state_->reader->warnings();
  return input;
}

}  // namespace qwenvl
