// What the reader does with times, seeks, threads, turned pictures, and other sources.
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "media/video/frame_stream.h"
#include "media/video_files.h"
#include "qwenvl/error.h"
#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace qwenvl {
namespace {

std::string warnings_of(const VideoReader& reader) {
  return fmt::format("{}", fmt::join(reader.warnings(), "; "));
}

bool holds(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

// ---- times -----------------------------------------------------------------------------------

TEST(VideoTimes, TimesThatAreMissingAreCountedAtTheAnnouncedRate) {
  const auto reader = test::open_clip("no_times.h264");
  ASSERT_EQ(reader->index().size(), 30);
  for (std::size_t i = 0; i < 30; ++i)
    EXPECT_DOUBLE_EQ(reader->index().seconds[i], static_cast<double>(i) / 25);
  EXPECT_DOUBLE_EQ(reader->info().average_fps, 25);
  EXPECT_TRUE(holds(warnings_of(*reader), "30 of 30 frames have no time"));
}

TEST(VideoTimes, NegativeTimesThatAContainerCannotHoldAreRepaired) {
  const auto reader = test::open_clip("negative.mkv");
  ASSERT_EQ(reader->index().size(), 40);
  for (std::size_t i = 1; i < 40; ++i)
    EXPECT_GT(reader->index().seconds[i], reader->index().seconds[i - 1]);
  EXPECT_GT(reader->info().average_fps, 0);
  EXPECT_NE(warnings_of(*reader), "");
}

TEST(VideoTimes, RecordingsThatWereJoinedGoOnWithoutAGap) {
  std::vector<std::byte> twice = test::read_file(test::clip_path("transport.ts"));
  const std::vector<std::byte> once = twice;
  twice.insert(twice.end(), once.begin(), once.end());
  const auto reader = test::open_bytes(twice);
  ASSERT_EQ(reader->index().size(), 80);
  for (std::size_t i = 1; i < 80; ++i) {
    const double step = reader->index().seconds[i] - reader->index().seconds[i - 1];
    EXPECT_GT(step, 0);
    EXPECT_LT(step, 0.13);
  }
  EXPECT_TRUE(holds(warnings_of(*reader), "the file's clock runs backwards"));
  const std::string last = test::crc_of_frame(*reader, 79);
  EXPECT_EQ(last, test::crc_of_frame(*test::open_clip("transport.ts"), 39));
}

TEST(VideoTimes, AGapIsKeptAndALateBeginningIsNoLoss) {
  const auto gap = test::open_clip("vfr_gap.mp4");
  EXPECT_NEAR(gap->index().seconds[20], 10, 1e-9);
  EXPECT_NEAR(gap->index().seconds[19], 0.95, 1e-9);
  for (const char* clip : {"vfr_gap.mp4", "starts_late.mkv", "edit_list.mp4", "starts_early.mp4"})
    EXPECT_EQ(warnings_of(*test::open_clip(clip)), "") << clip;
}

// ---- order and threads -----------------------------------------------------------------------

// Frames in an order that makes the reader seek forwards and backwards.
std::vector<std::int64_t> jumps(std::int64_t n) {
  std::vector<std::int64_t> out = {n - 1, 0, n / 2, n / 2 + 1, n / 2, 1, n - 2, n - 1};
  for (std::int64_t i = 0; i < n; i += 7) out.push_back(i * 31 % n);
  return out;
}

class VideoSeeking : public ::testing::TestWithParam<const char*> {};

TEST_P(VideoSeeking, GivesTheSameFramesAsDecodingThrough) {
  const auto through = test::open_clip(GetParam()), jumping = test::open_clip(GetParam());
  std::vector<std::string> frames;
  for (std::int64_t i = 0; i < through->index().size(); ++i)
    frames.push_back(test::crc_of_frame(*through, i));
  for (const std::int64_t i : jumps(through->index().size()))
    EXPECT_EQ(test::crc_of_frame(*jumping, i), frames[static_cast<std::size_t>(i)]) << i;
}

INSTANTIATE_TEST_SUITE_P(Clips, VideoSeeking,
                         ::testing::Values("many_keyframes.mp4", "b_frames.mp4", "fragments.mp4",
                                           "transport.ts", "mpeg2.mpg", "decoding_times.avi",
                                           "no_times.h264", "no_times.m4v", "vfr.mkv",
                                           "edit_list.mp4", "odd_size.webm", "animation.gif",
                                           "animation.webp", "negative.mkv", "hevc_10_bit.mp4"));

TEST(FrameStreamTest, HandsOverTheFramesOfAScheduleInOrder) {
  const auto reader = test::open_clip("b_frames.mp4"), other = test::open_clip("b_frames.mp4");
  FrameSchedule schedule;
  schedule.frames = {0, 3, 3, 20, 21, 60, 60};
  FrameStream frames(*reader, schedule);
  for (const std::int64_t i : schedule.frames)
    EXPECT_EQ(test::crc_of(frames.next()), test::crc_of_frame(*other, i)) << i;
}

TEST(FrameStreamTest, CanBeLeftBeforeItsEnd) {
  const auto reader = test::open_clip("fps_60.mp4");
  FrameSchedule schedule;
  for (std::int64_t i = 0; i < reader->index().size(); ++i) schedule.frames.push_back(i);
  { FrameStream frames(*reader, schedule); }
  FrameStream frames(*reader, schedule);
  EXPECT_EQ(frames.next().width, 64);
}

TEST(FrameStreamTest, ThrowsWhatTheReaderThrewAfterTheFramesBefore) {
  std::vector<std::byte> bytes = test::read_file(test::clip_path("fps_25.mp4"));
  // Every byte of the frames is lost, the tables behind them are not.
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t begin = text.find("mdat") + 4, end = text.find("moov");
  ASSERT_LT(begin, end);
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
            bytes.begin() + static_cast<std::ptrdiff_t>(end) - 4, std::byte{0});
  const auto reader = test::open_bytes(bytes);
  FrameSchedule schedule;
  schedule.frames = {0, 5};
  FrameStream frames(*reader, schedule);
  const std::string error = error_of([&] { frames.next(); });
  EXPECT_TRUE(holds(error, "no frame of its 75 decodes")) << error;
}

// ---- pictures --------------------------------------------------------------------------------

// Which way up they are shown, the golden test says.
TEST(VideoPictures, AreTurnedAsTheFileAsksInColourAndInLuma) {
  const auto right = test::open_clip("turned_90.mp4"), left = test::open_clip("turned_270.mp4");
  EXPECT_EQ(right->info().rotation_degrees, 90);
  EXPECT_EQ(right->info().width, 48);
  ASSERT_TRUE(right->move_to(4) && left->move_to(4));
  const Image a = right->rgb(), b = left->rgb();
  const LumaImage luma_a = right->luma(64, 48), luma_b = left->luma(64, 48);
  int n_different = 0;
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 48; ++x) {
      n_different += std::memcmp(a.row(y) + 3 * x, b.row(63 - y) + 3 * (47 - x), 3) != 0;
      n_different += luma_a.values[static_cast<std::size_t>(y * 48 + x)] !=
                     luma_b.values[static_cast<std::size_t>((63 - y) * 48 + 47 - x)];
    }
  }
  EXPECT_EQ(n_different, 0);
}

TEST(VideoPictures, ThatAreInterlacedAreShownAsStoredAndItIsSaid) {
  const auto reader = test::open_clip("interlaced.mp4");
  EXPECT_TRUE(reader->info().is_interlaced);
  EXPECT_TRUE(holds(warnings_of(*reader), "interlaced"));
}

TEST(VideoPictures, LumaIsShrunkToTheSizeThatIsAsked) {
  const auto reader = test::open_clip("large.mp4");
  reader->move_to(3);
  const LumaImage luma = reader->luma(17, 30);
  EXPECT_EQ(luma.values.size(), 17u * 30u);
  EXPECT_GT(*std::max_element(luma.values.begin(), luma.values.end()), 100);
}

// ---- what is a video -------------------------------------------------------------------------

TEST(VideoKinds, AreToldFromPicturesByWhatTheyHold) {
  const auto is_video_file = [](const std::string& path) { return is_video({path, path, {}}); };
  for (const char* clip :
       {"fps_25.mp4", "vfr.mkv", "odd_size.webm", "transport.ts", "mpeg2.mpg", "decoding_times.avi",
        "animation.gif", "animation.webp", "only_sound.m4a"}) {
    EXPECT_TRUE(is_video_file(test::clip_path(clip))) << clip;
  }
  for (const char* picture : {"gif_palette.gif", "webp_lossy.webp", "jpeg_420.jpg", "png_rgb.png",
                              "bmp_24.bmp", "tiff_raw.tif"}) {
    EXPECT_FALSE(is_video_file(test::golden_folder() + picture)) << picture;
  }
}

TEST(VideoKinds, AnExtensionMeansNothing) {
  const TemporaryFolder folder;
  const std::vector<std::byte> bytes = test::read_file(test::clip_path("vfr.mkv"));
  folder.write("clip.jpg", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  EXPECT_TRUE(is_video({"clip.jpg", folder / "clip.jpg", {}}));
  EXPECT_EQ(test::open_file(folder / "clip.jpg")->index().size(), 48);
}

TEST(VideoKinds, SoundBesideTheVideoIsNotLookedAt) {
  const auto with = test::open_clip("with_sound.mp4"), without = test::open_clip("fps_25.mp4");
  EXPECT_EQ(with->index().size(), 50);
  EXPECT_EQ(warnings_of(*with), "");
  EXPECT_EQ(with->info().codec, without->info().codec);
}

}  // namespace
}  // namespace qwenvl
