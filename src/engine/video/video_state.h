// What is behind a Video: its reader, one user at a time.
// Before: video.cpp opens it.   After: media_inputs.cpp decodes the frames of clips.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "media/video/analysis/signals.h"
#include "media/video/video.h"
#include "qwenvl/video.h"

namespace qwenvl {

struct Video::State {
  std::mutex mutex;  // guards the rest: held while frames are decoded or measured
  std::unique_ptr<VideoReader> reader;
  VideoFacts facts;
  std::optional<SignalTrack> track;  // of the whole video, once it is measured
  VideoSignals signals;              // the same, for people who asked

  // With the mutex held. Measures what is asked for; the whole, once.
  SignalTrack signals_of(std::optional<double> begin_seconds, std::optional<double> end_seconds);
  void measure(const VideoProgress& progress);
  void tell_signals();
};

}  // namespace qwenvl
