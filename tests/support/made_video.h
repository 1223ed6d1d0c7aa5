// A video that is drawn, not read: a light picture on which a coloured square moves to the right
// during some spans of time. Written to files by the library's own writer of clips.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "media/video/clip_writer.h"
#include "media/video/video.h"

namespace qwenvl::testing {

struct MadeEvent {
  double begin, end;  // seconds
  std::array<std::uint8_t, 3> colour;
};

class MadeVideo : public VideoReader {
 public:
  MadeVideo(int height, int width, std::vector<double> seconds, double end_seconds,
            std::vector<MadeEvent> events = {})
      : events_(std::move(events)) {
    index_.seconds = std::move(seconds);
    index_.end_seconds = end_seconds;
    info_.name = "made";
    info_.height = height;
    info_.width = width;
    info_.average_fps = index_.average_fps();
  }
  // At an even rate.
  static MadeVideo even(int height, int width, double fps, double length,
                        std::vector<MadeEvent> events = {}) {
    std::vector<double> seconds;
    for (int i = 0; i / fps < length; ++i) seconds.push_back(i / fps);
    return MadeVideo(height, width, std::move(seconds), length, std::move(events));
  }

  const VideoInfo& info() const override { return info_; }
  const FrameIndex& index() const override { return index_; }
  bool move_to(std::int64_t frame) override {
    frame_ = frame;
    return true;
  }
  Image rgb() const override {
    Image image{info_.height, info_.width, {}};
    image.rgb.assign(std::size_t{3} * image.height * image.width, 240);
    const double now = index_.seconds[static_cast<std::size_t>(frame_)];
    for (const MadeEvent& event : events_) {
      if (now < event.begin || now >= event.end) continue;
      const int side = image.height / 3;
      const double part = (now - event.begin) / (event.end - event.begin);
      const int x = static_cast<int>((0.05 + 0.55 * part) * image.width);
      for (int y = side; y < 2 * side; ++y) {
        for (int i = x; i < std::min(x + side, image.width); ++i)
          std::copy(event.colour.begin(), event.colour.end(), image.row(y) + std::size_t{3} * i);
      }
    }
    return image;
  }
  LumaImage luma(int height, int width) const override { return {height, width, {}}; }
  std::vector<std::string> warnings() const override { return {}; }

  // All of it as a file.
  std::string written(const std::string& path) {
    write_clip(*this, 0, index_.end_seconds, path);
    return path;
  }

 private:
  std::vector<MadeEvent> events_;
  VideoInfo info_;
  FrameIndex index_;
  std::int64_t frame_ = 0;
};

}  // namespace qwenvl::testing
