// Pictures and clips of a request → what the model takes.
// Before: engine.cpp has a request.   After: media/ reads and decodes, the model sizes and resizes.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

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
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    VideoReader& reader() { return reader_; }

   private:
    std::mutex& mutex_;
    VideoReader& reader_;
  };

  // The model must outlive it.
  MediaInputs(const Model& model, const EngineOptions& options, std::int64_t max_tokens);

  VisionInput prepare(const Picture& picture, PictureInfo& info) const;
  VisionInput prepare(const Clip& clip, ClipInfo& info) const;

 private:
  struct Decoded {
    std::string name;
    Image image;
  };
  Decoded decode(const Picture& picture) const;
  VisionInput prepare_frames(const Clip& clip, ClipInfo& info) const;
  VisionInput prepare_video(const Clip& clip, ClipInfo& info) const;
  ClipWish wish_of(const ClipOptions& options, double fps) const;

  const Model& model_;
  const PreprocessOptions preprocess_;
  const Loader loader_;
  const VideoOptions video_options_;
  const std::int64_t max_tokens_;
};

}  // namespace qwenvl
