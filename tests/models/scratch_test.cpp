// The memory of a step as it is planned, against the memory that the step takes.
#include "models/qwen2_5_vl/scratch.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace qwenvl::qwen2_5_vl {
namespace {

class OnCheckpoints : public ::testing::TestWithParam<const char*> {
 protected:
  const Checkpoint checkpoint =
      Checkpoint::open(std::string(QWENVL_TEST_DATA) + "/golden/checkpoints/" + GetParam());
  const std::unique_ptr<Backend> backend = make_backend("cpu", 2);
};
INSTANTIATE_TEST_SUITE_P(Tiny, OnCheckpoints, ::testing::Values("tiny", "tiny_untied"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(OnCheckpoints, encoding_takes_the_bytes_that_are_planned) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    const auto model = make_model(checkpoint, compute);
    // One window, several, more rows than go through a layer at a time, and a clip.
    for (const Grid& grid : {Grid{1, 2, 2}, Grid{1, 10, 14}, Grid{1, 64, 70}, Grid{3, 8, 8}}) {
      VisionInput input;
      input.grid = grid;
      input.n_tokens = grid.n_patches() / 4;
      const int height = static_cast<int>(grid.h) * 14, width = static_cast<int>(grid.w) * 14;
      for (std::int64_t t = 0; t < 2 * grid.t; ++t)
        input.frames.push_back({height, width, std::vector<std::uint8_t>(3u * height * width, 99)});
      std::vector<std::byte> memory(
          static_cast<std::size_t>(input.n_tokens * model->info().feature_width) *
          size_of(compute));
      Workspace workspace;
      model->encode(*backend, workspace, input,
                    Tensor(memory.data(), compute, {input.n_tokens, model->info().feature_width}));
      EXPECT_EQ(static_cast<std::int64_t>(workspace.peak_bytes()),
                model->encode_scratch(*backend, grid).workspace)
          << name_of(compute) << ", " << grid.t << " × " << grid.h << " × " << grid.w;
    }
  }
}

TEST_P(OnCheckpoints, a_step_of_the_decoder_takes_the_bytes_that_are_planned) {
  struct Rows {
    std::int64_t n, n_logits;
  };
  for (const DType compute : {DType::f32, DType::bf16}) {
    const auto model = make_model(checkpoint, compute);
    const KvLayout& kv = model->info().kv;
    for (const Rows rows : {Rows{1, 1}, Rows{64, 0}, Rows{65, 1}, Rows{200, 7}}) {
      std::vector<std::byte> memory(static_cast<std::size_t>(4 * kv.page_bytes()));
      SequenceRows sequence{0, rows.n, 0, {}};
      for (int i = 0; i < 4; ++i) sequence.pages.push_back(memory.data() + i * kv.page_bytes());
      Batch batch;
      batch.kv = {kv, {sequence}};
      batch.ids.assign(static_cast<std::size_t>(rows.n), 17);
      batch.positions.assign(static_cast<std::size_t>(3 * rows.n), 5);
      for (std::int64_t i = 0; i < rows.n_logits; ++i) batch.logit_rows.push_back(i);
      std::vector<float> logits(static_cast<std::size_t>(rows.n_logits * model->info().vocabulary));
      Workspace workspace;
      model->forward(*backend, workspace, batch,
                     Tensor(logits.data(), DType::f32, {rows.n_logits, model->info().vocabulary}));
      EXPECT_EQ(static_cast<std::int64_t>(workspace.peak_bytes()),
                model->forward_scratch(*backend, rows.n, rows.n_logits).workspace)
          << name_of(compute) << ", " << rows.n << " rows, " << rows.n_logits << " of logits";
    }
  }
}

TEST_P(OnCheckpoints, the_grid_of_a_size_is_the_grid_of_a_picture_of_that_size) {
  const auto model = make_model(checkpoint, std::nullopt);
  for (const auto& [width, height] : {std::pair{30, 50}, {640, 480}, {512, 512}, {900, 31}}) {
    const Image image{height, width, std::vector<std::uint8_t>(3u * height * width)};
    EXPECT_EQ(model->image_grid(width, height, {}, {}), model->prepare_image(image, {}, {}).grid)
        << width << " × " << height;
  }
}

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
