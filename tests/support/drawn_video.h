// Videos that are drawn instead of decoded: grey pictures as a function of time, with noise and the
// traces of a codec. For tests and benchmarks of what looks at luma only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "media/font.h"
#include "media/video/analysis/shrink.h"
#include "media/video/video.h"

namespace qwenvl::test {

// Numbers that are the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 + 0x1234567) {}
  std::uint32_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<std::uint32_t>(state_ >> 32);
  }
  double uniform(double low, double high) { return low + (high - low) * next() / 4294967296.0; }
  int whole(int low, int high) {
    return low + static_cast<int>(next() % static_cast<std::uint32_t>(high - low + 1));
  }

 private:
  std::uint64_t state_;
};

class GreyPicture {
 public:
  GreyPicture(int height, int width, int grey = 0)
      : luma{height, width,
             std::vector<std::uint8_t>(static_cast<std::size_t>(height) * width,
                                       static_cast<std::uint8_t>(grey))} {}

  void set(int y, int x, int grey) {
    if (y < 0 || x < 0 || y >= luma.height || x >= luma.width) return;
    luma.values[static_cast<std::size_t>(y) * luma.width + x] = static_cast<std::uint8_t>(grey);
  }
  int at(int y, int x) const {
    y = std::clamp(y, 0, luma.height - 1), x = std::clamp(x, 0, luma.width - 1);
    return luma.values[static_cast<std::size_t>(y) * luma.width + x];
  }
  void rectangle(double y, double x, double height, double width, int grey) {
    for (int i = static_cast<int>(y); i < y + height; ++i) {
      for (int j = static_cast<int>(x); j < x + width; ++j) set(i, j, grey);
    }
  }
  void disc(double y, double x, double radius, int grey) {
    for (int i = static_cast<int>(y - radius); i <= y + radius; ++i) {
      for (int j = static_cast<int>(x - radius); j <= x + radius; ++j) {
        if ((i - y) * (i - y) + (j - x) * (j - x) <= radius * radius) set(i, j, grey);
      }
    }
  }
  void text(int y, int x, const std::string& words, int scale, int grey) {
    for (const char c : words) {
      const std::uint8_t* rows = glyph(static_cast<std::uint8_t>(c));
      for (int i = 0; i < kGlyphHeight * scale; ++i) {
        for (int j = 0; j < kGlyphWidth * scale; ++j) {
          if ((rows[i / scale] >> (kGlyphWidth - 1 - j / scale) & 1) != 0) set(y + i, x + j, grey);
        }
      }
      x += (kGlyphWidth + 1) * scale;
    }
  }

  LumaImage luma;
};

// A natural-looking picture: smooth hills of grey at several scales, and hard-edged things on them.
inline GreyPicture landscape(int height, int width, std::uint64_t seed) {
  Random random(seed);
  GreyPicture out(height, width);
  struct Wave {
    double fy, fx, phase, size;
  };
  std::vector<Wave> waves;
  for (int i = 0; i < 10; ++i) {
    const double f = random.uniform(0.5, 2) * std::pow(1.6, i % 7) * 6.28 / width;
    const double angle = random.uniform(0, 6.28);
    waves.push_back({f * std::sin(angle), f * std::cos(angle), random.uniform(0, 6.28),
                     30 / std::pow(1.3, i % 7)});
  }
  const double base = random.uniform(70, 180);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      double sum = base;
      for (const Wave& w : waves) sum += w.size * std::sin(w.fy * y + w.fx * x + w.phase);
      out.set(y, x, static_cast<int>(std::clamp(sum, 5.0, 250.0)));
    }
  }
  for (int i = 0; i < 14; ++i) {
    const double h = random.uniform(0.05, 0.3) * height, w = random.uniform(0.03, 0.2) * width;
    out.rectangle(random.uniform(0, height), random.uniform(0, width), h, w, random.whole(10, 245));
  }
  return out;
}

// Draws the picture of a time, in seconds.
using Painter = std::function<GreyPicture(double seconds)>;

struct DrawnVideoOptions {
  int height = 270, width = 480;
  double fps = 30, seconds = 10;
  double noise = 0;        // standard deviation of each pixel
  bool has_codec = false;  // blocks that are a little off, differently after every keyframe
  std::uint64_t seed = 1;
};

class DrawnVideo final : public VideoReader {
 public:
  DrawnVideo(const DrawnVideoOptions& options, Painter painter)
      : options_(options), painter_(std::move(painter)) {
    info_.name = "drawn";
    info_.width = options.width;
    info_.height = options.height;
    info_.average_fps = options.fps;
    const int n = std::max(1, static_cast<int>(std::lround(options.seconds * options.fps)));
    for (int i = 0; i < n; ++i) index_.seconds.push_back(i / options.fps);
    index_.end_seconds = n / options.fps;
  }

  const VideoInfo& info() const override { return info_; }
  const FrameIndex& index() const override { return index_; }
  FrameIndex& mutable_index() { return index_; }
  bool move_to(std::int64_t frame) override {
    current_ = frame;
    ++n_moves;
    return true;
  }
  Image rgb() const override { return {}; }
  LumaImage luma(int height, int width) const override {
    GreyPicture picture = painter_(index_.seconds[static_cast<std::size_t>(current_)]);
    disturb(picture.luma);
    const int factor = options_.width / width;
    if (factor == 1) return picture.luma;
    return shrink_plane(picture.luma.values.data(), picture.luma.width, height, width, factor);
  }
  std::vector<std::string> warnings() const override { return {}; }

  int n_moves = 0;

 private:
  void disturb(LumaImage& luma) const {
    Random noise(options_.seed * 7919 + static_cast<std::uint64_t>(current_));
    Random codec(options_.seed * 104729 + static_cast<std::uint64_t>(current_) / 60);
    constexpr int kTransform = 8;
    const int across = luma.width / kTransform + 1;
    std::vector<int> off(static_cast<std::size_t>(across));
    for (int y = 0; y < luma.height; ++y) {
      if (options_.has_codec && y % kTransform == 0) {
        for (int& o : off) o = codec.whole(-2, 2);
      }
      for (int x = 0; x < luma.width; ++x) {
        std::uint8_t& value = luma.values[static_cast<std::size_t>(y) * luma.width + x];
        double v = value;
        if (options_.has_codec) v += off[static_cast<std::size_t>(x / kTransform)];
        if (options_.noise > 0) {
          const std::uint32_t r = noise.next();  // four bytes: nearly normal
          const double sum = (r & 255) + (r >> 8 & 255) + (r >> 16 & 255) + (r >> 24) - 510.0;
          v += sum / 147.8 * options_.noise;
        }
        value = static_cast<std::uint8_t>(std::clamp(v, 0.0, 255.0));
      }
    }
  }

  const DrawnVideoOptions options_;
  const Painter painter_;
  VideoInfo info_;
  FrameIndex index_;
  std::int64_t current_ = 0;
};

}  // namespace qwenvl::test
