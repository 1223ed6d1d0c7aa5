// Every clip against torchcodec and decord: counts, rates, times, sizes, pixels.
#include <gtest/gtest.h>

#include <set>

#include "media/video_files.h"
#include "support/golden.h"

namespace qwenvl {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMostFrames = 160, kStride = 50;  // as in make_video_golden.py

TEST(VideoGolden, counts_rates_times_sizes_and_pixels_equal_both_readers) {
  const Json golden = testing::golden_json("video/readers.json");
  std::set<std::string> clips;
  for (const Json& item : golden.at("cases")) {
    SCOPED_TRACE(item.at("clip").get<std::string>() + " " + item.at("reader").get<std::string>());
    clips.insert(item.at("clip").get<std::string>());
    const auto reader = test::open_clip(item.at("clip"), test::style_named(item.at("reader")));
    const std::int64_t n = reader->index().size();
    ASSERT_EQ(n, item.at("n_frames").get<std::int64_t>());
    EXPECT_EQ(reader->info().average_fps, item.at("average_fps").get<double>());
    if (!item.contains("crc")) continue;  // the reference's reader fails on the way
    EXPECT_EQ(reader->info().width, item.at("width").get<int>());
    EXPECT_EQ(reader->info().height, item.at("height").get<int>());
    const std::int64_t stride = n <= kMostFrames ? 1 : kStride;
    for (std::int64_t i = 0; i < n; i += stride) {
      const std::size_t k = static_cast<std::size_t>(i / stride);
      EXPECT_EQ(test::crc_of_frame(*reader, i), item.at("crc")[k].get<std::string>()) << i;
      if (item.contains("seconds")) {
        EXPECT_EQ(reader->index().seconds[static_cast<std::size_t>(i)],
                  item.at("seconds")[k].get<double>())
            << i;
      }
    }
  }
  EXPECT_GE(clips.size(), 50u);
}

}  // namespace
}  // namespace qwenvl
