// Closed loading: every problem of a checkpoint in one error.
#include "checkpoint/binder.h"

#include <gtest/gtest.h>

#include <string>

#include "checkpoint/checkpoint_files.h"

namespace qwenvl {
namespace {

Checkpoint open_single(const TemporaryFolder& folder, const std::string& header,
                       std::size_t n_data) {
  folder.write("config.json", "{}");
  folder.write("model.safetensors", safetensors_bytes(header, n_data));
  return Checkpoint::open(folder.path());
}

TEST(Binder, HandsOutTensorsAndIsContentWhenAllAreUsed) {
  TemporaryFolder folder;
  const Checkpoint checkpoint = open_single(folder,
                                            "{" + entry("a", "BF16", "[2, 2]", 0, 8) + "," +
                                                entry("old.inv_freq", "F32", "[2]", 8, 16) + "}",
                                            16);
  Binder binder(checkpoint);
  EXPECT_TRUE(binder.has("a"));
  EXPECT_FALSE(binder.has("b"));
  const Tensor a = binder.bind("a", {2, 2});
  EXPECT_EQ(a.type, DType::bf16);
  EXPECT_EQ(a.as<bf16>()[0].bits, 0x3f3f);
  binder.ignore("old.inv_freq");
  binder.ignore("not there either");
  EXPECT_EQ(error_of([&] { binder.finish(); }), "");
}

TEST(Binder, ATensorMayBeBoundTwice) {
  TemporaryFolder folder;
  const Checkpoint checkpoint = open_single(folder, "{" + entry("a", "F16", "[2]", 0, 4) + "}", 4);
  Binder binder(checkpoint);
  EXPECT_EQ(binder.bind("a", {2}).data, binder.bind("a", {2}).data);
  EXPECT_EQ(error_of([&] { binder.finish(); }), "");
}

TEST(Binder, OneErrorNamesEverythingThatIsWrong) {
  TemporaryFolder folder;
  const Checkpoint checkpoint = open_single(folder,
                                            "{" + entry("shape", "BF16", "[2, 3]", 0, 12) + "," +
                                                entry("type", "I32", "[1]", 12, 16) + "," +
                                                entry("extra", "F32", "[1]", 16, 20) + "}",
                                            20);
  Binder binder(checkpoint);
  EXPECT_FALSE(binder.bind("shape", {2, 2}));
  EXPECT_FALSE(binder.bind("type", {1}));
  EXPECT_FALSE(binder.bind("missing", {7}));
  const std::string error = error_of([&] { binder.finish(); });
  EXPECT_TRUE(contains(
      error, "bad_file: checkpoint: 'shape' is [2, 3], expected [2, 2] (model.safetensors)"));
  EXPECT_TRUE(contains(
      error, "'type' is int32, expected bfloat16, float16 or float32 (model.safetensors)"));
  EXPECT_TRUE(contains(error, "'missing' is missing, expected [7]"));
  EXPECT_TRUE(contains(error, "'extra' [1] is left over"));
}

TEST(Binder, ALongListIsCountedInsteadOfShown) {
  TemporaryFolder folder;
  const Checkpoint checkpoint = open_single(folder, "{" + entry("a", "F16", "[2]", 0, 4) + "}", 4);
  Binder binder(checkpoint);
  binder.bind("a", {2});
  for (int i = 0; i < 500; ++i) binder.bind("missing." + std::to_string(i), {1});
  const std::string error = error_of([&] { binder.finish(); });
  EXPECT_TRUE(contains(error, "'missing.11'"));
  EXPECT_FALSE(contains(error, "'missing.12'"));
  EXPECT_TRUE(contains(error, "; and 488 more"));
}

TEST(Binder, QuantisedCheckpointsAreCalledByTheirName) {
  for (const auto& [name, format] :
       {std::pair("model.layers.0.mlp.up_proj.qweight", "AWQ or GPTQ"),
        std::pair("x.g_idx", "GPTQ"), std::pair("x.weight.absmax", "bitsandbytes 4-bit"),
        std::pair("x.SCB", "bitsandbytes 8-bit"),
        std::pair("x.weight_packed", "compressed-tensors"), std::pair("x.lora_A.weight", "LoRA")}) {
    TemporaryFolder folder;
    const Checkpoint checkpoint =
        open_single(folder, "{" + entry(name, "I32", "[1]", 0, 4) + "}", 4);
    Binder binder(checkpoint);
    binder.bind("model.norm.weight", {1});
    const std::string error = error_of([&] { binder.finish(); });
    EXPECT_TRUE(contains(error, "looks like a")) << name;
    EXPECT_TRUE(contains(error, format)) << name;
  }
}

}  // namespace
}  // namespace qwenvl
