// Clips that were cut out: which frames, at what times, of what size.
#include "media/video/clip_writer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/check.h"
#include "support/error_of.h"
#include "support/made_video.h"
#include "support/temporary_folder.h"

namespace qwenvl {
namespace {

using testing::MadeVideo;
std::unique_ptr<VideoReader> opened(const std::string& path) {
  return open_video({path, path, {}}, ReaderStyle::torchcodec);
}

TEST(ClipWriter, CutsExactlyTheFramesThatAreShownInTheSpan) {
  const TemporaryFolder folder;
  const std::string path = folder / "clip.mp4";
  MadeVideo video = MadeVideo::even(48, 64, 10, 5);
  const WrittenClip clip = write_clip(video, 1.2, 3.0, path);
  EXPECT_EQ(clip.n_frames, 18);
  EXPECT_DOUBLE_EQ(clip.begin, 1.2);
  EXPECT_DOUBLE_EQ(clip.end, 3.0);
  const auto reader = opened(path);
  EXPECT_EQ(reader->index().size(), 18);
  EXPECT_NEAR(reader->index().seconds.back() - reader->index().seconds.front(), 1.7, 1e-3);
}

TEST(ClipWriter, KeepsUnevenTimes) {
  const TemporaryFolder folder;
  const std::string path = folder / "clip.mp4";
  MadeVideo video(48, 64, {0, 0.1, 0.5, 0.6, 1.7, 2}, 2.5);
  write_clip(video, 0.5, 2.1, path);
  const auto reader = opened(path);
  const std::vector<double>& seconds = reader->index().seconds;
  ASSERT_EQ(seconds.size(), 4u);
  EXPECT_NEAR(seconds[1] - seconds[0], 0.1, 1e-3);
  EXPECT_NEAR(seconds[2] - seconds[0], 1.2, 1e-3);
  EXPECT_NEAR(seconds[3] - seconds[0], 1.5, 1e-3);
}

TEST(ClipWriter, KeepsColoursAndMakesOddSizesEven) {
  const TemporaryFolder folder;
  const std::string path = folder / "clip.mp4";
  MadeVideo video = MadeVideo::even(61, 91, 10, 1, {{0, 1, {214, 40, 40}}});
  write_clip(video, 0, 1, path);
  const auto reader = opened(path);
  EXPECT_EQ(reader->info().height, 60);
  EXPECT_EQ(reader->info().width, 90);
  reader->move_to(0);
  const Image image = reader->rgb();
  const std::uint8_t* red = image.row(30) + 3 * 14;
  EXPECT_NEAR(red[0], 214, 12);
  EXPECT_NEAR(red[1], 40, 12);
  EXPECT_NEAR(image.row(5)[0], 240, 6);
}

TEST(ClipWriter, ASpanWithoutAFrameGivesTheNextOne) {
  const TemporaryFolder folder;
  MadeVideo video = MadeVideo::even(48, 64, 1, 5);
  EXPECT_EQ(write_clip(video, 1.2, 1.4, folder / "a.mp4").n_frames, 1);
  EXPECT_EQ(write_clip(video, 99, 100, folder / "b.mp4").n_frames, 1);
}

class BreaksOff final : public MadeVideo {
 public:
  using MadeVideo::MadeVideo;
  bool move_to(std::int64_t frame) override {
    if (frame == 3) fail(ErrorKind::bad_file, "frame 3 does not decode");
    return MadeVideo::move_to(frame);
  }
};

TEST(ClipWriter, WhatCannotBeCompletedLeavesNothingAndNoOlderFileIsLost) {
  const TemporaryFolder folder;
  const std::string path = folder / "clip.mp4";
  std::ofstream(path) << "an older clip";
  BreaksOff video(48, 64, {0, 1, 2, 3, 4}, 5);
  EXPECT_EQ(error_of([&] { write_clip(video, 0, 5, path); }), "bad_file: frame 3 does not decode");
  std::string kept;
  std::getline(std::ifstream(path), kept);
  EXPECT_EQ(kept, "an older clip");
  const std::filesystem::directory_iterator files(path.substr(0, path.rfind('/')));
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

TEST(ClipWriter, SaysWhichFileCannotBeWritten) {
  MadeVideo video = MadeVideo::even(48, 64, 1, 5);
  const std::string error = error_of([&] { write_clip(video, 0, 1, "/no/such/folder/x.mp4"); });
  EXPECT_TRUE(error.starts_with("device: ")) << error;
  EXPECT_NE(error.find("/no/such/folder/x.mp4"), std::string::npos) << error;
}

}  // namespace
}  // namespace qwenvl
