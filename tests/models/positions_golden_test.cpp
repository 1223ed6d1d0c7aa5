// M-RoPE positions and rope deltas against the reference, exactly.
#include "models/qwen2_5_vl/input/prompt.h"
#include "support/golden.h"

namespace qwenvl::qwen2_5_vl {
namespace {

using qwenvl::testing::golden_json;

constexpr TokenId kNotMedia = -1;

// The media runs of one unpadded row; media are taken from the queues in order.
struct MediaQueue {
  nlohmann::json grids;
  nlohmann::json seconds;
  std::size_t next = 0;
};

std::vector<MediaRun> runs_of(const std::vector<TokenId>& ids, TokenId image, TokenId video,
                              MediaQueue& images, MediaQueue& videos) {
  std::vector<MediaRun> runs;
  for (std::size_t i = 0; i < ids.size();) {
    if (ids[i] != image && ids[i] != video) {
      ++i;
      continue;
    }
    const bool is_video = ids[i] == video;
    MediaQueue& queue = is_video ? videos : images;
    const auto& grid = queue.grids.at(queue.next);
    MediaRun run{static_cast<std::int64_t>(i), {grid[0], grid[1], grid[2]}, is_video, 1.0};
    if (is_video && queue.seconds.is_array()) run.seconds_per_grid = queue.seconds.at(queue.next);
    ++queue.next;
    runs.push_back(run);
    i += static_cast<std::size_t>(run.grid.n_patches() / 4);
  }
  return runs;
}

TEST(PositionsGolden, every_case_equals_the_reference) {
  const auto golden = golden_json("model/positions.json");
  int n = 0;
  for (const auto& item : golden.at("cases")) {
    const std::string model = item.at("model");
    const auto config = golden_json("checkpoints/" + model + "/config.json");
    const double tps = model == "tiny" ? 2 : 4;
    MediaQueue images{item.value("image_grid_thw", nlohmann::json()), {}};
    MediaQueue videos{item.value("video_grid_thw", nlohmann::json()),
                      item.value("second_per_grid_ts", nlohmann::json())};
    const auto& rows = item.at("input_ids");
    for (std::size_t row = 0; row < rows.size(); ++row) {
      std::vector<TokenId> ids;
      std::vector<std::size_t> places;
      for (std::size_t i = 0; i < rows[row].size(); ++i) {
        if (item.at("attention_mask")[row][i] == 0) continue;
        ids.push_back(rows[row][i]);
        places.push_back(i);
      }
      const auto runs = runs_of(ids, config.value("image_token_id", kNotMedia),
                                config.value("video_token_id", kNotMedia), images, videos);
      const TemporalIds kind =
          item.at("tstep") == "float" ? TemporalIds::true_time : TemporalIds::whole_seconds;
      const Positions got = mrope_positions(static_cast<std::int64_t>(ids.size()), runs, tps, kind);
      for (std::size_t axis = 0; axis < 3; ++axis) {
        for (std::size_t i = 0; i < ids.size(); ++i) {
          ASSERT_EQ(got.axes[axis * ids.size() + i], item.at("position_ids")[axis][row][places[i]])
              << item.at("name") << " row " << row << " axis " << axis << " token " << i;
        }
      }
      const auto& delta = item.at("rope_deltas")[row];
      ASSERT_EQ(got.next - static_cast<std::int64_t>(rows[row].size()),
                delta.is_array() ? delta[0] : delta)
          << item.at("name") << " row " << row;
      ++n;
    }
  }
  EXPECT_GE(n, 40);
}

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
