// Each kind of clip as a function that draws the picture of a second.
#include "clips.h"

#include <cmath>
#include <fstream>
#include <iterator>

#include "media/image.h"

namespace qwenvl::bench {
namespace {

using test::GreyPicture;
using test::Random;

constexpr int H = kClipHeight, W = kClipWidth;

BenchClip clip_of(std::uint64_t seed, double noise, test::Painter painter,
                  std::vector<TrueEvent> events) {
  test::DrawnVideoOptions options;
  options.height = H;
  options.width = W;
  options.fps = kClipFps;
  options.seconds = kClipSeconds;
  options.noise = noise;
  options.has_codec = true;
  options.seed = seed;
  return {std::make_unique<test::DrawnVideo>(options, std::move(painter)), std::move(events)};
}

std::vector<TrueEvent> spread_events(Random& random, int n, double shortest, double longest) {
  std::vector<TrueEvent> out;
  const double room = kClipSeconds / n;
  for (int i = 0; i < n; ++i) {
    const double length = random.uniform(shortest, longest);
    const double begin = i * room + random.uniform(1, room - length - 0.5);
    out.push_back({begin, begin + length});
  }
  return out;
}

GreyPicture cut_out(const GreyPicture& wide, double y0, double x0, double zoom = 1) {
  GreyPicture out(H, W);
  for (int y = 0; y < H; ++y) {
    for (int x = 0; x < W; ++x) {
      const double fy = y0 + y * zoom, fx = x0 + x * zoom;
      const int iy = static_cast<int>(fy), ix = static_cast<int>(fx);
      const double ay = fy - iy, ax = fx - ix;
      const double value = (1 - ay) * ((1 - ax) * wide.at(iy, ix) + ax * wide.at(iy, ix + 1)) +
                           ay * ((1 - ax) * wide.at(iy + 1, ix) + ax * wide.at(iy + 1, ix + 1));
      out.set(y, x, static_cast<int>(value + 0.5));
    }
  }
  return out;
}

void draw_thing(GreyPicture& out, double share, double y, double size) {
  const int grey = out.at(static_cast<int>(y), W / 2) > 128 ? 25 : 230;
  out.disc(y, 40 + (W - 80) * share, size, grey);
}

BenchClip short_event(std::uint64_t seed) {
  Random random(seed);
  const GreyPicture scene = test::landscape(H, W, seed);
  std::vector<TrueEvent> events = spread_events(random, 4, 0.5, 0.8);
  const double y = random.uniform(60, 210), size = random.uniform(10, 25);
  return clip_of(
      seed, random.uniform(0, 8),
      [=](double t) {
        GreyPicture out = scene;
        for (const TrueEvent& e : events) {
          if (t >= e.begin && t < e.end)
            draw_thing(out, (t - e.begin) / (e.end - e.begin), y, size);
        }
        return out;
      },
      events);
}

BenchClip cuts(std::uint64_t seed) {
  Random random(seed);
  std::vector<GreyPicture> scenes;
  std::vector<TrueEvent> events;
  for (double at = 0; at < kClipSeconds - 1;) {
    const double length = random.whole(0, 2) == 0 ? random.uniform(0.5, 1) : random.uniform(1, 9);
    const double end = at + length > kClipSeconds - 1 ? kClipSeconds : at + length;
    events.push_back({at, end});
    scenes.push_back(test::landscape(H + 20, W + 80, seed * 1000 + scenes.size()));
    at = end;
  }
  return clip_of(
      seed, random.uniform(0, 8),
      [=](double t) {
        std::size_t i = 0;
        while (i + 1 < events.size() && t >= events[i].end) ++i;
        return cut_out(scenes[i], 5, 5 * (t - events[i].begin));
      },
      events);
}

std::string words(Random& random, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) {
    if (!out.empty()) out += ' ';
    for (int k = random.whole(2, 8); k > 0; --k)
      out += static_cast<char>('a' + random.whole(0, 25));
  }
  return out;
}

BenchClip slides(std::uint64_t seed) {
  struct Line {
    double begin, end;
    int y, scale;
    std::string words;
  };
  Random random(seed);
  std::vector<Line> lines;
  std::vector<TrueEvent> events;
  for (double at = 0; at < kClipSeconds - 6;) {
    const double end = std::min(kClipSeconds, at + random.uniform(6, 15));
    double begin = at;
    for (int y = 20; y < 230 && begin < end - 1.5; begin += random.uniform(0.8, 3)) {
      const int scale = y == 20 ? 2 : random.whole(1, 2);
      lines.push_back({begin, end, y, scale, words(random, scale == 2 ? 5 : 9)});
      // Each line is written within a third of a second.
      events.push_back({begin + 0.33, end, 7 * scale});
      y += 12 * scale + 12;
    }
    at = end;
  }
  const int paper = random.whole(0, 1) == 0 ? 235 : 25;
  return clip_of(
      seed, random.uniform(0, 5),
      [=](double t) {
        GreyPicture out(H, W, paper);
        for (const Line& line : lines) {
          if (t < line.begin || t >= line.end) continue;
          const double share = std::min(1.0, (t - line.begin) / 0.33);
          const auto n =
              static_cast<std::size_t>(share * static_cast<double>(line.words.size()) + 1e-9);
          out.text(line.y, 24, line.words.substr(0, n), line.scale, 255 - paper);
        }
        return out;
      },
      events);
}

// A camera that drifts; now and then something happens fast and the camera follows.
BenchClip sport(std::uint64_t seed) {
  Random random(seed);
  const GreyPicture wide = test::landscape(H + 60, 1400, seed);
  std::vector<TrueEvent> events = spread_events(random, 5, 0.5, 2);
  const double speed = random.uniform(200, 400);
  return clip_of(
      seed, random.uniform(0, 6),
      [=](double t) {
        double x = 100 + 6 * t;
        for (const TrueEvent& e : events) {
          const double share = std::clamp((t - e.begin) / (e.end - e.begin), 0.0, 1.0);
          x += 0.3 * speed * (e.end - e.begin) * std::sin(6.283 * share);
        }
        GreyPicture out = cut_out(wide, 20, std::clamp(x, 0.0, 900.0));
        for (const TrueEvent& e : events) {
          if (t < e.begin || t >= e.end) continue;
          for (int i = 0; i < 4; ++i) {
            const double phase = 9 * (t - e.begin) + i * 1.7;
            out.disc(135 + 60 * std::sin(phase), 240 + 120 * std::cos(0.7 * phase + i), 14,
                     i % 2 == 0 ? 20 : 235);
          }
        }
        return out;
      },
      events);
}

// Flashes, a slow pan, changing light and much noise: none is an event.
BenchClip disturbed(std::uint64_t seed) {
  Random random(seed);
  const GreyPicture wide = test::landscape(H + 40, W + 300, seed);
  std::vector<TrueEvent> events = spread_events(random, 4, 0.5, 0.8);
  const std::vector<TrueEvent> flashes = spread_events(random, 6, 0.08, 0.16);
  const double pan = random.uniform(0, 4);
  return clip_of(
      seed, random.uniform(8, 16),
      [=](double t) {
        GreyPicture out = cut_out(wide, 10, pan * t);
        for (const TrueEvent& e : events) {
          if (t >= e.begin && t < e.end)
            draw_thing(out, (t - e.begin) / (e.end - e.begin), 130, 24);
        }
        double light = 8 * std::sin(t);
        for (const TrueEvent& f : flashes) light += t >= f.begin && t < f.end ? 120 : 0;
        for (std::uint8_t& v : out.luma.values)
          v = static_cast<std::uint8_t>(std::clamp(v + light, 0.0, 255.0));
        return out;
      },
      events);
}

GreyPicture photograph(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  const Image image = decode_image({bytes, text.size()}, path, Loader::hf);
  GreyPicture out(image.height, image.width);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const std::uint8_t* p = image.row(y) + 3 * x;
      out.set(y, x, (299 * p[0] + 587 * p[1] + 114 * p[2]) / 1000);
    }
  }
  return out;
}

// Real photographs with slow pans and zooms, cuts between them, captions, and things that pass.
BenchClip photographs(std::uint64_t seed, const std::string& folder) {
  Random random(seed);
  std::vector<GreyPicture> pictures;
  for (const char* name : {"astronaut.jpg", "chelsea.jpg", "coffee.jpg"})
    pictures.push_back(photograph(folder + "/" + name));
  struct Shot {
    double begin, end, y, x, zoom, dx, dzoom;
    std::size_t picture;
    bool is_caption;
    std::string caption;
  };
  std::vector<Shot> shots;
  std::vector<TrueEvent> events, things;
  for (double at = 0; at < kClipSeconds - 4;) {
    const double end = std::min(kClipSeconds, at + random.uniform(4, 9));
    std::size_t picture = static_cast<std::size_t>(random.whole(0, 2));
    if (!shots.empty() && picture == shots.back().picture) picture = (picture + 1) % 3;
    const double zoom = random.uniform(0.55, 0.8);
    shots.push_back({at, end, random.uniform(0, 60), random.uniform(0, 40), zoom,
                     random.uniform(0, 3), random.uniform(-0.004, 0.004), picture,
                     random.whole(0, 1) == 0, words(random, 4)});
    events.push_back({at, end});
    if (shots.back().is_caption) {
      events.push_back({at + 2, end, 14});
    } else {
      const double begin = at + random.uniform(1.5, end - at - 1);
      things.push_back({begin, begin + 0.6});
      events.push_back(things.back());
    }
    at = end;
  }
  return clip_of(
      seed, random.uniform(0, 5),
      [=](double t) {
        std::size_t i = 0;
        while (i + 1 < shots.size() && t >= shots[i].end) ++i;
        const Shot& shot = shots[i];
        const double s = t - shot.begin;
        GreyPicture out = cut_out(pictures[shot.picture], shot.y, shot.x + shot.dx * s,
                                  shot.zoom + shot.dzoom * s);
        if (shot.is_caption && s >= 2) {
          out.rectangle(228, 50, 30, 380, 20);
          out.text(236, 60, shot.caption, 2, 240);
        }
        for (const TrueEvent& e : things) {
          if (t >= e.begin && t < e.end)
            draw_thing(out, (t - e.begin) / (e.end - e.begin), 130, 22);
        }
        return out;
      },
      events);
}

}  // namespace

const std::vector<std::string>& clip_kinds() {
  static const std::vector<std::string> kinds{"short event", "cuts",      "slides",
                                              "sport",       "disturbed", "photographs"};
  return kinds;
}

BenchClip make_clip(const std::string& kind, std::uint64_t seed, const std::string& folder) {
  if (kind == "short event") return short_event(seed);
  if (kind == "cuts") return cuts(seed);
  if (kind == "slides") return slides(seed);
  if (kind == "sport") return sport(seed);
  if (kind == "disturbed") return disturbed(seed);
  return photographs(seed, folder);
}

}  // namespace qwenvl::bench
