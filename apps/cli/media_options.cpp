// Options for pictures and clips: their sizes, and which frames of a video are seen.
#include "options.h"

namespace qwenvl::cli {

namespace {

constexpr std::int64_t kMostPixels = 1'000'000'000'000;
constexpr std::int64_t kMostFrames = 1'000'000;

void add_clip_options(CLI::App& command, ClipOptions& options) {
  const std::string group = "Videos and clips (folders of pictures)";
  CLI::Option* fps =
      command
          .add_option("--fps", options.fps,
                      "Frames seen of each second of a video; of a folder: the rate at which they "
                      "were taken; unset: 2")
          ->check(between(1e-5, 1e5))
          ->group(group);
  command.add_option("--nframes", options.n_frames, "Frames seen of a video, made even")
      ->check(whole(2, kMostFrames))
      ->excludes(fps)
      ->group(group);
  command.add_option("--min-frames", options.min_frames, "Fewest frames seen of a video; unset: 4")
      ->check(whole(1, kMostFrames))
      ->group(group);
  command.add_option("--max-frames", options.max_frames, "Most frames seen of a video; unset: 768")
      ->check(whole(2, kMostFrames))
      ->group(group);
  command
      .add_option("--video-start", options.video_start, "The part of a video that is seen, from …")
      ->check(at_least(0))
      ->type_name("SECONDS")
      ->group(group);
  command.add_option("--video-end", options.video_end, "… to here")
      ->check(at_least(0))
      ->type_name("SECONDS")
      ->group(group);
  command
      .add_option("--total-pixels", options.total_pixels,
                  "Shrink the frames of long clips: to twice this divided by their number")
      ->check(whole(1, kMostPixels))
      ->group(group);
  command
      .add_option("--max-video-tokens", options.max_tokens,
                  "Most tokens a clip may be: its frames are made smaller, though not below "
                  "--min-pixels; unset: no limit, and with --sampling dynamic what the context "
                  "leaves")
      ->check(whole(1))
      ->group(group);
}

void add_sampling_of_videos(CLI::App& command, MediaOptions& options) {
  const std::string group = "Videos and clips (folders of pictures)";
  command
      .add_option_function<std::string>(
          "--sampling",
          [&options](const std::string& value) { options.is_dynamic = value == "dynamic"; },
          "Frames of a video are chosen evenly, as in the reference (uniform, the default), or by "
          "what happens (dynamic): cuts, motion and text are looked at more closely")
      ->check(CLI::IsMember({"uniform", "dynamic"}))
      ->group(group);
  DynamicSampling& d = options.dynamic;
  const auto add = [&](const char* name, double& value, const char* help, CLI::Validator range,
                       const char* unit) {
    command.add_option(name, value, help)
        ->check(std::move(range))
        ->type_name(unit)
        ->capture_default_str()
        ->group("Dynamic sampling (with --sampling dynamic)");
  };
  const CLI::Validator rate = between(1e-5, 1e4), share = between(0, 1);
  add("--cut-fps", d.cut_fps, "Frames of a second around a cut", rate, "FPS");
  add("--motion-fps", d.motion_fps, "… where things move", rate, "FPS");
  add("--text-fps", d.text_fps, "… where text appears or changes", rate, "FPS");
  add("--calm-fps", d.calm_fps, "… where little happens", rate, "FPS");
  add("--still-fps", d.still_fps, "… where nothing happens", rate, "FPS");
  add("--around", d.around_seconds, "How far around a cut or text that appears", at_least(0),
      "SECONDS");
  add("--text-detail", d.text_detail, "Pixels of frames with text, compared with the others'",
      between(1, 64), "TIMES");
  add("--cut-threshold", d.cut_threshold, "How much of a picture has to be new to be a cut", share,
      "0..1");
  add("--motion-threshold", d.motion_threshold, "How much of it has to move", share, "0..1");
  add("--text-threshold", d.text_threshold, "How much text has to appear", share, "0..1");
  add("--change-threshold", d.change_threshold, "How much has to change for it not to be still",
      share, "0..1");
}

}  // namespace

void add_media_options(CLI::App& command, MediaOptions& options) {
  const std::string group = "Picture sizes (of all pictures and frames; unset: the usual limits)";
  PictureOptions& size = options.pictures;
  command.add_option("--min-pixels", size.min_pixels, "Enlarge pictures below this")
      ->check(whole(1, kMostPixels))
      ->group(group);
  command.add_option("--max-pixels", size.max_pixels, "Shrink pictures above this")
      ->check(whole(1, kMostPixels))
      ->group(group);
  auto* height = command.add_option("--resized-height", size.resized_height, "Ask for this size …")
                     ->check(whole(1, 65535))
                     ->group(group);
  auto* width = command
                    .add_option("--resized-width", size.resized_width,
                                "… rounded to the model's grid of 28 pixels")
                    ->check(whole(1, 65535))
                    ->group(group);
  height->needs(width);
  width->needs(height);

  add_clip_options(command, options.clips);
  add_sampling_of_videos(command, options);
}

ClipOptions MediaOptions::clip() const {
  ClipOptions out = clips;
  out.frame = pictures;
  if (is_dynamic) {
    out.dynamic = dynamic;
  } else if (dynamic != DynamicSampling()) {
    throw Error(ErrorKind::bad_request,
                "--cut-fps, --motion-fps and the like do nothing without --sampling dynamic");
  }
  return out;
}

bool MediaOptions::has_video_options() const {
  return clips.n_frames || clips.min_frames || clips.max_frames || clips.video_start ||
         clips.video_end || is_dynamic || dynamic != DynamicSampling();
}

bool MediaOptions::chooses_frames() const {
  return clips.n_frames || clips.min_frames || clips.max_frames || is_dynamic;
}

bool MediaOptions::has_clip_options() const {
  return clips.fps || clips.total_pixels || clips.max_tokens || has_video_options();
}

}  // namespace qwenvl::cli
