// Before: engine.cpp has a request.   After: media/ reads and decodes, the model sizes and resizes.
#include "engine/media_inputs.h"

#include "core/check.h"
#include "engine/engine_options.h"
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

VideoSource video_source(const Clip& clip) {
  if (!clip.bytes.empty()) return {clip.source.empty() ? "video" : clip.source, "", clip.bytes};
  if (std::string path = local_path(clip.source); !path.empty()) return {path, path, {}};
  SourceBytes fetched = read_source(clip.source, kVideoFetchLimits);
  return {std::move(fetched.name), "", std::move(fetched.bytes)};
}

MediaInputs::MediaInputs(const Model& model, const EngineOptions& options, std::int64_t max_tokens)
    : model_(model),
      preprocess_(preprocess_options(options)),
      loader_(loader_of(options)),
      reader_style_(reader_style(options)),
      max_tokens_(max_tokens) {}

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
  const bool is_video = !clip.source.empty() || !clip.bytes.empty();
  VisionInput input;
  try {
    if (is_video && !clip.frames.empty())
      fail(ErrorKind::bad_request, "clip: found frames and a video, expected one of them");
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
  VideoSource source = video_source(clip);
  if (info.name.empty()) info.name = source.name;
  const auto reader = open_video(std::move(source), reader_style_);
  const VideoInfo& video = reader->info();
  info.n_video_frames = reader->index().size();
  info.video_fps = video.average_fps;
  info.original_width = video.width;
  info.original_height = video.height;
  const SamplingWish sampling{o.fps,        o.n_frames,    o.min_frames,
                              o.max_frames, o.video_start, o.video_end};
  const FrameSchedule schedule =
      model_.sample_frames(info.n_video_frames, info.video_fps, sampling, preprocess_);
  info.n_frames = static_cast<int>(schedule.frames.size());
  info.fps = schedule.fps;
  for (const std::int64_t i : schedule.frames)
    info.frame_seconds.push_back(reader->index().seconds[static_cast<std::size_t>(i)]);

  ClipWish wish = wish_of(o, schedule.fps);
  wish.is_file = true;
  FrameStream frames(*reader, schedule);
  VisionInput input = model_.prepare_clip(
      info.n_frames, [&](std::int64_t) { return frames.next(); }, wish, preprocess_);
  info.warnings = reader->warnings();
  return input;
}

}  // namespace qwenvl
