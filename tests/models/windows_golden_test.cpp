// Window order and attention boundaries against the reference, exactly.
#include "models/qwen2_5_vl/input/windows.h"
#include "support/golden.h"

namespace qwenvl::qwen2_5_vl {
namespace {

TEST(WindowsGolden, every_case_equals_the_reference) {
  VisionConfig vision;
  int n = 0;
  const auto golden = qwenvl::testing::golden_json("model/windows.json");
  for (const auto& item : golden.at("cases")) {
    std::vector<Grid> grids;
    for (const auto& grid : item.at("grid_thw")) grids.push_back({grid[0], grid[1], grid[2]});
    const WindowOrder order = window_order(grids, vision);
    EXPECT_EQ(order.cells, item.at("perm").get<std::vector<std::int64_t>>()) << item.at("grid_thw");
    EXPECT_EQ(order.windows, item.at("cu_window").get<std::vector<std::int64_t>>())
        << item.at("grid_thw");
    EXPECT_EQ(order.frames, item.at("cu_full").get<std::vector<std::int64_t>>())
        << item.at("grid_thw");
    ++n;
  }
  EXPECT_GE(n, 30);
}

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
