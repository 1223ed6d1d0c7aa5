// Videos that stay open between requests.
// Before: apps/ name a file.   After: media_inputs.cpp decodes the frames of clips.
#include "qwenvl/video.h"

#include "engine/engine_options.h"
#include "engine/guard.h"
#include "engine/video/video_state.h"
#include "media/source.h"

namespace qwenvl {
namespace {

VideoSource source_of(const std::string& source) {
  if (std::string path = local_path(source); !path.empty()) return {path, path, {}};
  SourceBytes fetched = read_source(source, kVideoFetchLimits);
  return {std::move(fetched.name), "", std::move(fetched.bytes)};
}

ReaderStyle style_of(const VideoOptions& options) {
  EngineOptions engine;
  engine.video_reader = options.reader;
  return reader_style(engine);
}

VideoFacts facts_of(const VideoReader& reader) {
  const VideoInfo& info = reader.info();
  const FrameIndex& index = reader.index();
  VideoFacts facts;
  facts.name = info.name;
  facts.container = info.container;
  facts.codec = info.codec;
  facts.width = info.width;
  facts.height = info.height;
  facts.rotation_degrees = info.rotation_degrees;
  facts.is_interlaced = info.is_interlaced;
  facts.average_fps = info.average_fps;
  facts.n_frames = index.size();
  facts.begin_seconds = index.seconds.empty() ? 0 : index.seconds.front();
  facts.end_seconds = index.end_seconds;
  facts.warnings = reader.warnings();
  return facts;
}

}  // namespace

const char* name_of(Moment moment) {
  switch (moment) {
    case Moment::even: return "even";
    case Moment::cut: return "cut";
    case Moment::motion: return "motion";
    case Moment::text: return "text";
    case Moment::calm: return "calm";
    case Moment::still: return "still";
  }
  return "";
}

Video::Video(std::unique_ptr<State> state) : state_(std::move(state)) {}
Video::~Video() = default;

std::shared_ptr<Video> Video::open(const std::string& source, const VideoOptions& options) {
  return guarded([&] { return opened(source_of(source), options); });
}

std::shared_ptr<Video> Video::open(std::string name, std::vector<std::byte> bytes,
                                   const VideoOptions& options) {
  return guarded([&] { return opened({std::move(name), "", std::move(bytes)}, options); });
}

std::shared_ptr<Video> Video::opened(VideoSource source, const VideoOptions& options) {
  auto state = std::make_unique<State>();
  state->reader = open_video(std::move(source), style_of(options));
  state->facts = facts_of(*state->reader);
  return std::shared_ptr<Video>(new Video(std::move(state)));
}

// A part of what is known of the whole is not measured again.
SignalTrack Video::State::signals_of(std::optional<double> begin_seconds,
                                     std::optional<double> end_seconds) {
  if (!begin_seconds && !end_seconds) measure({});
  if (!track) return measure_signals(*reader, {}, begin_seconds, end_seconds);
  SignalTrack part;
  for (const MeasuredMoment& moment : track->moments) {
    const double seconds = reader->index().seconds[moment.frame];
    if (seconds >= begin_seconds.value_or(seconds) && seconds <= end_seconds.value_or(seconds))
      part.moments.push_back(moment);
  }
  if (part.moments.empty()) return measure_signals(*reader, {}, begin_seconds, end_seconds);
  return part;
}

void Video::State::measure(const VideoProgress& progress) {
  if (!track) track = measure_signals(*reader, {}, {}, {}, progress);
}

void Video::State::tell_signals() {
  if (!signals.seconds.empty()) return;
  for (const MeasuredMoment& moment : track->moments) {
    signals.seconds.push_back(reader->index().seconds[moment.frame]);
    signals.cut.push_back(static_cast<float>(share_of(moment.cut)));
    signals.motion.push_back(static_cast<float>(share_of(moment.motion)));
    signals.text.push_back(static_cast<float>(share_of(moment.text)));
    signals.stillness.push_back(static_cast<float>(1 - share_of(moment.change)));
  }
}

const VideoSignals& Video::signals(const VideoProgress& progress) {
  guarded([&] {
    const std::lock_guard lock(state_->mutex);
    state_->measure(progress);
    state_->tell_signals();
  });
  return state_->signals;
}

const VideoFacts& Video::facts() const { return state_->facts; }
const std::vector<double>& Video::frame_seconds() const { return state_->reader->index().seconds; }

}  // namespace qwenvl
