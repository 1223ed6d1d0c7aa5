// What the analysing pass finds in drawn videos.
#include "media/video/analysis/signals.h"

#include <gtest/gtest.h>

#include "core/check.h"
#include "media/video/analysis/segments.h"
#include "support/drawn_video.h"

namespace qwenvl {
namespace {

using test::DrawnVideo;
using test::DrawnVideoOptions;
using test::GreyPicture;
using test::landscape;

SignalTrack track_of(const DrawnVideoOptions& options, const test::Painter& painter) {
  DrawnVideo video(options, painter);
  return measure_signals(video, {});
}

std::vector<std::uint32_t> cuts_of(const SignalTrack& track) {
  std::vector<std::uint32_t> out;
  for (const MeasuredMoment& m : track.moments) {
    if (share_of(m.cut) >= DynamicSampling{}.cut_threshold) out.push_back(m.frame);
  }
  return out;
}

double most(const SignalTrack& track, std::uint8_t MeasuredMoment::*signal, std::uint32_t from,
            std::uint32_t to) {
  double out = 0;
  for (const MeasuredMoment& m : track.moments) {
    if (m.frame >= from && m.frame < to) out = std::max(out, share_of(m.*signal));
  }
  return out;
}

// What a planner takes for text: the sum over a second.
double text_in(const SignalTrack& track, std::uint32_t from, std::uint32_t to) {
  double out = 0;
  for (const MeasuredMoment& m : track.moments) {
    if (m.frame >= from && m.frame < to) out += share_of(m.text);
  }
  return out;
}

constexpr std::uint32_t kAll = 1'000'000;

TEST(Signals, FindCutsAtTheirFrames) {
  for (const double noise : {0.0, 8.0}) {
    const GreyPicture a = landscape(270, 480, 1), b = landscape(270, 480, 2),
                      c = landscape(270, 480, 3);
    const SignalTrack track =
        track_of({.seconds = 6, .noise = noise, .has_codec = noise > 0}, [&](double t) {
          return t < 2 ? a : t < 4.5 ? b : c;
        });
    EXPECT_EQ(cuts_of(track), (std::vector<std::uint32_t>{60, 135})) << "noise " << noise;
  }
}

TEST(Signals, FindCutsBetweenThirtyRandomScenes) {
  std::vector<GreyPicture> scenes;
  for (std::uint64_t i = 0; i < 30; ++i) scenes.push_back(landscape(270, 480, 100 + i));
  const SignalTrack track = track_of({.seconds = 30, .noise = 4}, [&](double t) {
    return scenes[std::min<std::size_t>(29, static_cast<std::size_t>(t + 1e-9))];
  });
  std::vector<std::uint32_t> expected;
  for (std::uint32_t i = 1; i < 30; ++i) expected.push_back(30 * i);
  EXPECT_EQ(cuts_of(track), expected);
}

TEST(Signals, FlashIsNoCut) {
  const GreyPicture scene = landscape(270, 480, 4);
  const SignalTrack track = track_of({.seconds = 4, .noise = 4}, [&](double t) {
    GreyPicture out = scene;
    if (t >= 2 && t < 2.1) {
      for (std::uint8_t& v : out.luma.values) v = static_cast<std::uint8_t>(std::min(255, v + 150));
    }
    return out;
  });
  EXPECT_TRUE(cuts_of(track).empty());
  EXPECT_LT(text_in(track, 0, kAll), DynamicSampling{}.text_threshold);
}

TEST(Signals, FadeInBrightnessIsNeitherCutNorMotion) {
  const GreyPicture scene = landscape(270, 480, 5);
  const SignalTrack track = track_of({.seconds = 6, .noise = 3}, [&](double t) {
    GreyPicture out = scene;
    const double gain = 1 - 0.5 * std::clamp((t - 2) / 2, 0.0, 1.0);
    for (std::uint8_t& v : out.luma.values) v = static_cast<std::uint8_t>(v * gain);
    return out;
  });
  EXPECT_TRUE(cuts_of(track).empty());
  EXPECT_LT(most(track, &MeasuredMoment::motion, 0, kAll), DynamicSampling{}.motion_threshold);
}

TEST(Signals, CameraMotionIsNoCut) {
  const GreyPicture wide = landscape(600, 1600, 6);
  for (const double speed : {60.0, 600.0, 1200.0}) {  // pixels a second
    const SignalTrack track =
        track_of({.seconds = std::min(4.0, 1000 / speed), .noise = 3}, [&](double t) {
          GreyPicture out(270, 480);
          const int x0 = static_cast<int>(speed * t);
          for (int y = 0; y < 270; ++y) {
            for (int x = 0; x < 480; ++x) out.set(y, x, wide.at(y + 100, x + x0));
          }
          return out;
        });
    EXPECT_TRUE(cuts_of(track).empty()) << speed;
    if (speed > 100) {
      EXPECT_GT(most(track, &MeasuredMoment::motion, 0, kAll), 0.3) << speed;
    }
  }
}

TEST(Signals, NoiseAndCodecAreStill) {
  const GreyPicture scene = landscape(270, 480, 7);
  for (const double noise : {0.0, 5.0, 15.0, 25.0}) {
    const SignalTrack track =
        track_of({.seconds = 8, .noise = noise, .has_codec = true}, [&](double) { return scene; });
    EXPECT_TRUE(cuts_of(track).empty()) << "noise " << noise;
    // The noise has to be learnt first.
    EXPECT_LT(most(track, &MeasuredMoment::motion, 30, kAll), DynamicSampling{}.motion_threshold)
        << "noise " << noise;
    EXPECT_LT(most(track, &MeasuredMoment::change, 60, kAll), DynamicSampling{}.change_threshold)
        << "noise " << noise;
    EXPECT_EQ(text_in(track, 30, kAll), 0) << "noise " << noise;
  }
}

TEST(Signals, FindSomethingThatMovesForHalfASecond) {
  const GreyPicture scene = landscape(270, 480, 8);
  for (const double noise : {0.0, 10.0}) {
    const SignalTrack track = track_of({.seconds = 8, .noise = noise}, [&](double t) {
      GreyPicture out = scene;
      if (t >= 4 && t < 4.5)
        out.disc(130, 100 + 400 * (t - 4), 20, scene.at(130, 200) > 128 ? 20 : 235);
      return out;
    });
    EXPECT_GE(most(track, &MeasuredMoment::motion, 120, 135), DynamicSampling{}.motion_threshold);
    EXPECT_LT(most(track, &MeasuredMoment::motion, 60, 115), DynamicSampling{}.motion_threshold);
    EXPECT_LT(most(track, &MeasuredMoment::motion, 145, kAll), DynamicSampling{}.motion_threshold);
    EXPECT_TRUE(cuts_of(track).empty());
  }
}

TEST(Signals, FindTextWhenItIsComplete) {
  for (const double noise : {0.0, 6.0}) {
    const SignalTrack track =
        track_of({.seconds = 6, .noise = noise, .has_codec = true}, [&](double t) {
          GreyPicture out(270, 480, 230);
          out.text(20, 20, "Quarterly report", 3, 30);
          // One letter after the other, from second 2 to second 3.
          const std::string words = "Results were better";
          const double shown = std::clamp(t - 2, 0.0, 1.0) * static_cast<double>(words.size());
          out.text(120, 40, words.substr(0, static_cast<std::size_t>(shown + 1e-6)), 2, 30);
          return out;
        });
    EXPECT_GE(text_in(track, 85, 95), 0.05) << "noise " << noise;
    EXPECT_GE(text_in(track, 60, 95), DynamicSampling{}.text_threshold) << "noise " << noise;
    EXPECT_LT(text_in(track, 97, kAll), DynamicSampling{}.text_threshold) << "noise " << noise;
    EXPECT_TRUE(cuts_of(track).empty());
  }
}

TEST(Signals, FindTextThatReplacesText) {
  const SignalTrack track = track_of({.seconds = 4, .noise = 3}, [&](double t) {
    GreyPicture out(270, 480, 20);
    out.text(100, 40, t < 2 ? "First caption is here" : "Other words follow it", 3, 230);
    return out;
  });
  EXPECT_GE(text_in(track, 58, 65), DynamicSampling{}.text_threshold);
  EXPECT_LT(text_in(track, 66, kAll), DynamicSampling{}.text_threshold);
}

// Things of many sizes, as in a photograph.
GreyPicture textured(int height, int width, std::uint64_t seed) {
  test::Random random(seed);
  GreyPicture out = landscape(height, width, seed);
  for (int i = 0; i < height * width / 150; ++i)
    out.disc(random.uniform(0, height), random.uniform(0, width), random.uniform(1, 5),
             random.whole(30, 225));
  return out;
}

// So many pixels a second, in parts of pixels.
GreyPicture panned(const GreyPicture& wide, int height, int width, double x0) {
  GreyPicture out(height, width);
  const int ix = static_cast<int>(x0);
  const double ax = x0 - ix;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x)
      out.set(y, x,
              static_cast<int>((1 - ax) * wide.at(y, x + ix) + ax * wide.at(y, x + ix + 1) + 0.5));
  }
  return out;
}

std::vector<Segment> segments_in(const DrawnVideoOptions& options, const test::Painter& painter) {
  DrawnVideo video(options, painter);
  return segments_of(video.index(), measure_signals(video, {}), {});
}

TEST(Signals, SlowCameraOverTextureBringsNeitherTextNorMotionOfItsOwn) {
  const GreyPicture wide = textured(270, 700, 11);
  const auto segments = segments_in({.seconds = 10, .noise = 3, .has_codec = true}, [&](double t) {
    GreyPicture out = panned(wide, 270, 480, 6 * t);
    if (t >= 3 && t < 3.6) out.disc(130, 40 + 600 * (t - 3), 24, 235);
    if (t >= 6) {
      out.rectangle(220, 50, 30, 380, 20);
      out.text(228, 60, "A caption that comes", 2, 240);
    }
    return out;
  });
  std::vector<double> texts, motions;
  for (const Segment& s : segments) {
    if (s.is_text_complete && s.begin_seconds > 0.5) texts.push_back(s.begin_seconds);
    if (s.kind == Moment::motion) motions.push_back(s.begin_seconds);
  }
  ASSERT_EQ(texts.size(), 1u);
  EXPECT_NEAR(texts[0], 6, 0.15);
  ASSERT_EQ(motions.size(), 1u);
  EXPECT_NEAR(motions[0], 3, 0.15);
}

TEST(Signals, TellWhenTextGoesAwayButNotWhenMoreIsAdded) {
  const SignalTrack track = track_of({.seconds = 8, .noise = 3, .has_codec = true}, [&](double t) {
    GreyPicture out(270, 480, 230);
    if (t < 5) out.text(20, 20, "First words that stand", 2, 30);
    if (t >= 2.5 && t < 5) out.text(60, 20, "and some more of them", 2, 30);
    if (t >= 5) out.text(40, 20, "Quite other words now", 2, 30);
    return out;
  });
  double early = 0, at_change = 0, late = 0;
  for (const MeasuredMoment& m : track.moments)
    (m.frame < 148 ? early : m.frame < 155 ? at_change : late) += share_of(m.text_gone);
  EXPECT_LT(early, DynamicSampling{}.text_threshold);
  EXPECT_GE(at_change, DynamicSampling{}.text_threshold);
  EXPECT_LT(late, DynamicSampling{}.text_threshold);
}

TEST(Signals, TextStandsUntilItGoesAway) {
  const auto segments = segments_in({.seconds = 12, .has_codec = true}, [&](double t) {
    GreyPicture out(270, 480, 20);
    const bool is_first = t < 7;  // page
    if (is_first && t >= 2) out.text(30, 20, "First line of page one", 1, 230);
    if (is_first && t >= 4) out.text(60, 20, "Second line of page one", 1, 230);
    if (!is_first) out.text(30, 20, "First line of another page", 2, 230);
    if (t >= 9.5) out.text(80, 20, "Second line of another page", 1, 230);
    return out;
  });
  std::vector<std::pair<int, bool>> texts;
  for (const Segment& s : segments) {
    if (s.is_text_complete)
      texts.emplace_back(static_cast<int>(s.begin_seconds + 0.2), s.is_seen_later);
  }
  EXPECT_EQ(texts,
            (std::vector<std::pair<int, bool>>{{2, true}, {4, false}, {7, true}, {9, false}}));
}

TEST(Signals, TextTakesThreeBlocksInSmallPicturesToo) {
  const GreyPicture scene = landscape(90, 160, 12);
  const SignalTrack track = track_of({.height = 90, .width = 160, .seconds = 4}, [&](double t) {
    GreyPicture out = scene;
    if (t >= 2) {
      out.rectangle(32, 48, 14, 14, 235);
      for (int x = 50; x < 60; x += 4) out.rectangle(34, x, 10, 1, 20);
    }
    return out;
  });
  EXPECT_GT(text_in(track, 58, 65), 0);
  EXPECT_LT(text_in(track, 58, 65), DynamicSampling{}.text_threshold);
}

TEST(Signals, MeasureAPartAndThinOutHighRates) {
  const GreyPicture scene = landscape(90, 160, 9);
  DrawnVideo video({.height = 90, .width = 160, .fps = 120, .seconds = 4},
                   [&](double) { return scene; });
  const SignalTrack track = measure_signals(video, {}, 1.0, 2.0);
  ASSERT_FALSE(track.moments.empty());
  EXPECT_EQ(track.moments.front().frame, 120u);
  EXPECT_EQ(track.moments.back().frame, 240u);
  EXPECT_GE(track.moments.size(), 24u);
  EXPECT_LE(track.moments.size(), 34u);
}

TEST(Signals, StopWhenAsked) {
  const GreyPicture scene = landscape(90, 160, 9);
  DrawnVideo video({.height = 90, .width = 160, .seconds = 10}, [&](double) { return scene; });
  int n_reports = 0;
  const auto stop = [&](double done, double all) {
    EXPECT_LE(done, all);
    return ++n_reports < 3;
  };
  EXPECT_THROW(measure_signals(video, {}, {}, {}, stop), Error);
  EXPECT_EQ(n_reports, 3);
  EXPECT_LT(video.n_moves, 150);
}

TEST(Signals, TakeTinyVideos) {
  for (const auto& [height, width] : {std::pair{1, 1}, {3, 50}, {17, 16}}) {
    const SignalTrack track = track_of(
        {.height = height, .width = width, .seconds = 1},
        [&, h = height, w = width](double t) { return GreyPicture(h, w, t < 0.5 ? 10 : 200); });
    EXPECT_EQ(track.moments.size(), 30u);
  }
}

}  // namespace
}  // namespace qwenvl
