// Calibration: what a folder holds, what is refused before any work, and that its result is the
// same every time.
#include "engine/quantize/calibration.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "engine/foreign_folder.h"
#include "engine/gguf_models.h"
#include "engine/quantize/calibration_items.h"
#include "qwenvl/quantize.h"
#include "tiny_engine.h"

namespace qwenvl {
namespace {

const std::string kTiny = data_path("checkpoints/tiny");

// A picture, a text and a conversation about the same picture.
class Items {
 public:
  Items() {
    std::filesystem::copy_file(picture_path("rings.png"), folder_ / "photo.png");
    folder_.write("notes.txt", "The train leaves at noon. Bring the tickets.\n");
    folder_.write("chats.jsonl",
                  R"({"messages": [{"role": "user", "content": [{"type": "image", "image": )"
                  R"("photo.png"}, {"type": "text", "text": "What is this?"}]}, )"
                  R"({"role": "assistant", "content": "A photo."}]})"
                  "\n\n"
                  R"({"messages": [{"role": "user", "content": "Hello"}]})"
                  "\n");
    folder_.write("README.md", "not used");
  }
  std::string path() const { return folder_.path().string(); }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
};

std::string file_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(CalibrationItems, ComeInTheOrderOfTheirFiles) {
  const Items items;
  const std::vector<CalibrationItem> read = read_calibration_items(items.path());
  ASSERT_EQ(read.size(), 4u);
  EXPECT_EQ(read[0].name, "chats.jsonl, line 1");
  EXPECT_EQ(read[0].pictures.size(), 1u);
  EXPECT_EQ(read[0].messages[1].role, "assistant");
  EXPECT_EQ(read[1].name, "chats.jsonl, line 3");
  EXPECT_EQ(read[2].name, "notes.txt, part 1");
  EXPECT_EQ(read[3].name, "photo.png");
  EXPECT_EQ(read[3].pictures.size(), 1u);
}

TEST(CalibrationItems, LongTextsAreCutBetweenWordsOrCharactersAndNothingIsLost) {
  const TemporaryFolder folder;
  std::string words, characters;
  while (words.size() < 20'000) words += "somewhat longer words ";
  while (characters.size() < 20'000) characters += "汉";
  for (const std::string& text : {words, characters}) {
    folder.write("long.txt", text);
    const std::vector<CalibrationItem> parts = read_calibration_items(folder.path());
    ASSERT_GE(parts.size(), 5u);
    std::string all;
    for (const CalibrationItem& part : parts) {
      const std::string& piece = part.messages.at(0).parts.at(0).text;
      EXPECT_LE(piece.size(), 4096u);
      EXPECT_EQ(piece.size() % 3 * (text == characters), 0u) << "a character was cut";
      EXPECT_TRUE(text == characters || piece.back() == ' ') << "a word was cut";
      all += piece;
    }
    EXPECT_EQ(all, text);
  }
}

TEST(CalibrationItems, LinesThatAreNoConversationsAreNamed) {
  const TemporaryFolder folder;
  const auto problem = [&](const std::string& line) {
    folder.write("chats.jsonl", line);
    return error_of([&] { read_calibration_items(folder.path()); });
  };
  EXPECT_EQ(problem("{"), "bad_file: chats.jsonl, line 1: expected JSON");
  EXPECT_EQ(problem("{}"), "bad_file: chats.jsonl, line 1: expected an object with 'messages'");
  EXPECT_EQ(problem(R"({"messages": []})"),
            "bad_file: chats.jsonl, line 1: expected a list of messages");
  EXPECT_EQ(problem(R"({"messages": [{"role": 1, "content": ""}]})"),
            "bad_file: chats.jsonl, line 1: 'role' is no text");
  EXPECT_EQ(problem(R"({"messages": [{"role": "user", "content": 1}]})"),
            "bad_file: chats.jsonl, line 1: expected content that is text or a list of parts");
  EXPECT_EQ(problem(R"({"messages": [{"role": "user", "content": [{"type": "sound"}]}]})"),
            "bad_file: chats.jsonl, line 1: expected parts of type text or image");
}

TEST(Calibration, WhatCannotBeUsedIsRefusedBeforeAnyWork) {
  const TemporaryFolder folder;
  const auto problem = [&](const std::string& items, const std::string& model = kTiny,
                           const std::string& format = "int4") {
    int n_calls = 0;
    const std::string message = error_of([&] {
      quantize({.model = model, .out = folder / "out", .format = format, .calibration = items},
               [&](std::uint64_t, std::uint64_t, const std::string&) { ++n_calls; });
    });
    EXPECT_EQ(n_calls, 0);
    EXPECT_FALSE(std::filesystem::exists(folder / "out.part"));
    return message;
  };
  EXPECT_EQ(problem(folder / "absent"), "bad_request: calibration: '" + (folder / "absent") +
                                            "': does not exist, expected a folder of pictures and "
                                            "texts");
  folder.write("empty/README.md", "nothing to use");
  EXPECT_NE(problem(folder / "empty").find("holds none of the files that are used"),
            std::string::npos);
  folder.write("broken/photo.jpg", "no picture");
  const std::string broken = problem(folder / "broken");
  EXPECT_NE(broken.find("calibration: photo.jpg: "), std::string::npos) << broken;
  folder.write("blank/a.txt", " \n");
  EXPECT_NE(problem(folder / "blank").find("holds no text"), std::string::npos);
  folder.write("latin/a.txt", "caf\xe9");
  EXPECT_NE(problem(folder / "latin").find("is not UTF-8"), std::string::npos);
  folder.write(
      "lost/a.jsonl",
      R"({"messages": [{"role": "user", "content": [{"type": "image", "image": "x.png"}]}]})");
  EXPECT_NE(problem(folder / "lost").find("calibration: a.jsonl, line 1: "), std::string::npos);

  const Items items;
  EXPECT_NE(problem(items.path(), kTiny, "bf16").find("calibration: format bf16 rounds no matrix"),
            std::string::npos);
}

TEST(Calibration, EveryMatrixOfALayerIsRoundedForItsInputs) {
  const Items items;
  const QuantizeReport report = quantize({.model = kTiny,
                                          .out = items.folder() / "out",
                                          .format = "int4",
                                          .calibration = items.path()});
  EXPECT_EQ(report.n_calibration_items, 4);
  EXPECT_GT(report.n_calibration_tokens, 40);
  EXPECT_TRUE(report.is_source_runnable);
  int n = 0;
  for (const QuantizedTensor& tensor : report.tensors) {
    const bool is_layer =
        tensor.shape.size() == 2 &&
        (tensor.name.starts_with("model.layers.") || tensor.name.starts_with("visual.blocks.") ||
         tensor.name.starts_with("visual.merger.mlp."));
    EXPECT_EQ(tensor.is_calibrated, is_layer) << tensor.name;
    n += is_layer;
  }
  EXPECT_GT(n, 10);
  EXPECT_EQ(Engine::open({.model = items.folder() / "out"}).tokenize("x", false).size(), 1u);
}

TEST(Calibration, RunsOtherProgramsFilesAsTheNumbersTheyStandFor) {
  const Items items;
  const std::filesystem::path at = items.folder().path() / "models";
  ForeignFolder(at / "awq", R"({"quant_method": "awq", "bits": 4, "group_size": 8})",
                &ForeignFolder::awq);
  std::filesystem::create_directories(at / "gguf");
  write_language_gguf(at / "gguf/model.gguf", "Q8_0");
  write_vision_gguf(at / "gguf/mmproj-model.gguf", "F16");
  for (const char* name : {"awq", "gguf"}) {
    SCOPED_TRACE(name);
    const std::string out = items.folder() / (std::string(name) + "-int4");
    const QuantizeReport report = quantize(
        {.model = (at / name).string(), .out = out, .format = "int4", .calibration = items.path()});
    EXPECT_FALSE(report.is_source_runnable);
    EXPECT_EQ(report.n_calibration_items, 4);
    for (const QuantizedTensor& tensor : report.tensors) {
      if (!tensor.name.ends_with("o_proj.weight") && !tensor.name.ends_with("qkv.weight")) continue;
      EXPECT_TRUE(tensor.is_calibrated) << tensor.name;
    }
    EXPECT_EQ(Engine::open({.model = out}).tokenize("x", false).size(), 1u);
  }
}

TEST(Calibration, WithoutPicturesTheTowerIsRoundedForItself) {
  const TemporaryFolder folder;
  folder.write("items/notes.txt", "The train leaves at noon.");
  const QuantizeReport report = quantize(
      {.model = kTiny, .out = folder / "out", .format = "int4", .calibration = folder / "items"});
  for (const QuantizedTensor& tensor : report.tensors) {
    EXPECT_EQ(tensor.is_calibrated,
              tensor.name.starts_with("model.layers.") && tensor.shape.size() == 2)
        << tensor.name;
  }
}

TEST(Calibration, ThreadsChangeNothing) {
  const Items items;
  for (const int n_threads : {1, 3}) {
    quantize({.model = kTiny,
              .out = items.folder() / std::to_string(n_threads),
              .format = "int4",
              .n_threads = n_threads,
              .calibration = items.path()});
  }
  EXPECT_EQ(file_bytes(items.folder() / "1/model.safetensors"),
            file_bytes(items.folder() / "3/model.safetensors"));
}

// A pass with little memory runs items again, up to a later layer: the moments are the same.
TEST(Calibration, MomentsDoNotDependOnWhatElseIsCollected) {
  const Items items;
  const Checkpoint checkpoint = Checkpoint::open(kTiny);
  const auto source = open_weight_source(kTiny);
  const std::vector<PlannedTensor> plan = plan_tensors(*source, preset_named("int4"));
  const auto all = calibrated_together(plan, ~std::uint64_t{0});
  Calibration at_once(checkpoint, items.path(), 1), one_by_one(checkpoint, items.path(), 1);
  const auto ignore = [](const std::string&) {};
  auto expected = at_once.collect(all, ignore);
  EXPECT_EQ(expected.size(), all.size());
  for (std::span<const PlannedTensor> left = all; !left.empty();) {
    const auto together = calibrated_together(left, 0);
    EXPECT_EQ(together.front().layer, together.back().layer) << "at least and at most one layer";
    for (auto& [name, moment] : one_by_one.collect(together, ignore)) {
      InputMoment& other = expected.at(name);
      EXPECT_EQ(moment.n_rows(), other.n_rows()) << name;
      EXPECT_EQ(moment.finish(one_by_one.backend()).at(0).products,
                other.finish(at_once.backend()).at(0).products)
          << name;
    }
    left = left.subspan(together.size());
  }
}

TEST(QuantizePlan, LayersFollowTheOrderOfExecution) {
  const char* const names[] = {"visual.blocks.2.attn.qkv.weight",
                               "visual.blocks.10.attn.qkv.weight", "visual.merger.mlp.0.weight",
                               "model.layers.0.mlp.up_proj.weight",
                               "model.layers.11.mlp.up_proj.weight"};
  for (std::size_t i = 1; i < std::size(names); ++i) {
    EXPECT_LT(layer_of(names[i - 1]), layer_of(names[i])) << names[i];
  }
  EXPECT_EQ(layer_of("model.embed_tokens.weight"), -1);
  EXPECT_EQ(layer_of("visual.patch_embed.proj.weight"), -1);
  EXPECT_EQ(layer_prefix("model.layers.11.mlp.up_proj.weight"), "model.layers.11.");
  EXPECT_EQ(layer_prefix("model.norm"), "model.norm");
}

}  // namespace
}  // namespace qwenvl
