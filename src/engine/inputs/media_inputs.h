// Pictures and clips of a request → what the model takes.
// Before: engine.cpp has a request.   After: media/ reads and decodes, the model sizes and resizes.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "media/image.h"
#include "media/video/video.h"
#include "models/model.h"
#include "qwenvl/engine.h"

namespace qwenvl {

// The video of a clip: what it holds, or its source opened.
std::shared_ptr<Video> open_video_of(const Clip& clip, const VideoOptions& options);

// Pictures and frames are read, decoded and resized one after the other, so that only a few are
// held in full size.
class MediaInputs {
 public:
  // The reader of a video, held for a while: others wait.
  class Lease {
   public:
    explicit Lease(Video& video);
    VideoReader& reader() { return reader_; }

   private:
    const std::unique_lock<std::mutex> lock_;
    VideoReader& reader_;
  };

  // The model must outlive it.
  MediaInputs(const Model& model, const EngineOptions& options, std::int64_t max_tokens);

  VisionInput prepare(const Picture& picture, PictureInfo& info) const;
  // `room_tokens`: what a clip that is sampled dynamically may be where it asks for nothing.
  std::vector<VisionInput> prepare(const Clip& clip, std::int64_t room_tokens,
                                   ClipInfo& info) const;
  // What prepare makes of a clip's video, without decoding a frame of it.
  VideoPlan plan(const Clip& clip, std::int64_t room_tokens) const;

 private:
  struct Decoded {
    std::string name;
    Image image;
  };
  // A video in use by one request.
  struct Sampled {
    std::shared_ptr<Video> video;
    std::unique_lock<std::mutex> lock;
    FrameSchedule schedule;
    ClipWish wish;
    std::vector<PairSize> sizes;

    VideoReader& reader() const;
    std::vector<PlannedPair> pairs() const;
  };
  Decoded decode(const Picture& picture) const;
  Sampled sample(const Clip& clip, std::int64_t room_tokens) const;
  void sample_dynamically(const ClipOptions& options, Sampled& sampled) const;
  std::vector<VisionInput> prepare_frames(const Clip& clip, ClipInfo& info) const;
  std::vector<VisionInput> prepare_video(const Clip& clip, std::int64_t room_tokens,
                                         ClipInfo& info) const;
  ClipWish wish_of(const ClipOptions& options, double fps) const;

  const Model& model_;
  const PreprocessOptions preprocess_;
  const Loader loader_;
  const VideoOptions video_options_;
  const std::int64_t max_tokens_;
};

}  // namespace qwenvl
