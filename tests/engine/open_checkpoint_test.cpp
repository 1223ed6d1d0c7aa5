// Other programs' files opened directly: the same answers, bit for bit, as from the folder that
// quantize() writes of them, and one clear error for what cannot be opened.
#include "engine/open_checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "engine/foreign_folder.h"
#include "engine/gguf_models.h"
#include "engine/tiny_engine.h"
#include "qwenvl/quantize.h"
#include "qwenvl/tools.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSources[] = {"awq",     "gptq",     "bits_4", "bits_8",
                                    "q8.gguf", "f16.gguf", "plain"};

// All sources, written once.
const fs::path& sources() {
  static const TemporaryFolder folder;
  static const bool is_written = [] {
    const fs::path at = folder.path();
    ForeignFolder(at / "awq", R"({"quant_method": "awq", "bits": 4, "group_size": 8})",
                  &ForeignFolder::awq);
    ForeignFolder(at / "gptq", R"({"quant_method": "gptq", "bits": 4, "group_size": 8})",
                  &ForeignFolder::gptq);
    ForeignFolder(at / "bits_4", R"({"quant_method": "bitsandbytes", "load_in_4bit": true})",
                  &ForeignFolder::bits_4);
    ForeignFolder(at / "bits_8", R"({"quant_method": "bitsandbytes", "load_in_8bit": true})",
                  &ForeignFolder::bits_8);
    for (const char* kind : {"Q8_0", "F16"}) {
      const fs::path to = at / (kind == std::string("F16") ? "f16.gguf" : "q8.gguf");
      fs::create_directories(to);
      write_language_gguf(to / "model.gguf", kind);
      write_vision_gguf(to / "mmproj-model.gguf", kind);
    }
    fs::copy(data_path("checkpoints/tiny"), at / "plain");
    return true;
  }();
  EXPECT_TRUE(is_written);
  return folder.path();
}

EngineOptions options_for(const std::string& model, const std::string& weights = "auto") {
  EngineOptions options = tiny_options();
  options.model = model;
  options.weights = weights;
  options.n_threads = 1;
  return options;
}

// Everything an answer consists of: the scores of its first token, and its tokens.
struct Outcome {
  std::vector<float> logits;
  std::vector<std::vector<std::int32_t>> ids;
  bool operator==(const Outcome&) const = default;
};

Outcome outcome_of(const EngineOptions& options) {
  Engine engine = Engine::open(options);
  Request request = ask_about({"stripes.png"}, "What is this?", 6);
  request.want_first_logits = true;
  Outcome outcome;
  for (const Event& event : events_of(engine.submit(request))) {
    if (!event.first_logits.empty()) outcome.logits = event.first_logits;
  }
  request.want_first_logits = false;
  outcome.ids = ids_of(collect(engine.submit(request)));
  EXPECT_FALSE(outcome.logits.empty());
  for (const float logit : outcome.logits) EXPECT_TRUE(std::isfinite(logit));
  return outcome;
}

class EachSource : public testing::TestWithParam<const char*> {
 protected:
  std::string model() const { return (sources() / GetParam()).string(); }
};

INSTANTIATE_TEST_SUITE_P(Sources, EachSource, testing::ValuesIn(kSources), [](const auto& test) {
  const std::string name = test.param;
  return name.substr(0, name.find('.'));
});

TEST_P(EachSource, AnswersAsTheFolderThatQuantizeWritesOfIt) {
  const TemporaryFolder folder;
  for (const char* format : {"bf16", "int8", "int4", "int4-small"}) {
    SCOPED_TRACE(format);
    quantize({.model = model(), .out = folder / format, .format = format});
    const Outcome direct = outcome_of(options_for(model(), format));
    EXPECT_TRUE(direct == outcome_of(options_for(folder / format)));
  }
}

TEST_P(EachSource, ThreadsChangeNothing) {
  EngineOptions three_threads = options_for(model());
  three_threads.n_threads = 3;
  EXPECT_TRUE(outcome_of(options_for(model())) == outcome_of(three_threads));
}

TEST_P(EachSource, InspectsWithoutBeingConverted) {
  const ModelSummary summary = inspect_model(model());
  EXPECT_EQ(summary.architecture, "Qwen2_5_VLForConditionalGeneration");
  std::uint64_t bytes = 0;
  for (const TensorSummary& tensor : summary.tensors) {
    bytes += tensor.bytes;
    const bool is_plain = tensor.stored_as == "bf16" || tensor.stored_as == "F16" ||
                          tensor.stored_as == "BF16" || tensor.stored_as == "F32" ||
                          tensor.stored_as == "bfloat16";
    const bool is_packed = tensor.type == "int8" || tensor.type == "int8_grouped";
    EXPECT_EQ(is_packed, !is_plain)
        << tensor.name << ": " << tensor.stored_as << " " << tensor.type;
  }
  EXPECT_EQ(bytes, summary.bytes);
  EXPECT_EQ(inspect_model(options_for(model(), "bf16")).parameters, summary.parameters);
}

TEST_P(EachSource, AsEightBitsIsCloseToItsOwnNumbers) {
  const std::vector<float> exact = outcome_of(options_for(model(), "bf16")).logits;
  const std::vector<float> automatic = outcome_of(options_for(model())).logits;
  ASSERT_EQ(exact.size(), automatic.size());
  double error = 0, size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error += std::pow(double{exact[i]} - automatic[i], 2);
    size += std::pow(double{exact[i]}, 2);
  }
  EXPECT_LT(std::sqrt(error / size), 0.06);
}

TEST_P(EachSource, ItsTokenizerNeedsNoWeights) {
  const TextCodec codec(model());
  EXPECT_EQ(codec.decode(codec.encode("Hello, world", false), false), "Hello, world");
}

// ---- what the command line and programs meet
// -----------------------------------------------------

TEST(OpenCheckpoint, ProgressEndsAtTheWholeAndPlainFoldersHaveNone) {
  EngineOptions options = options_for((sources() / "awq").string());
  std::uint64_t last = 0, whole = 1;
  options.on_load = [&](std::uint64_t done, std::uint64_t total, const std::string&) {
    EXPECT_GE(done, last);
    last = done;
    whole = total;
  };
  Engine::open(options);
  EXPECT_EQ(last, whole);
  options.model = (sources() / "plain").string();
  options.on_load = [](std::uint64_t, std::uint64_t, const std::string&) { FAIL(); };
  Engine::open(options);
}

TEST(OpenCheckpoint, ConversionStopsWhereProgressThrows) {
  EngineOptions options = options_for((sources() / "awq").string());
  options.on_load = [](std::uint64_t, std::uint64_t, const std::string&) {
    throw Error(ErrorKind::cancelled, "stopped");
  };
  EXPECT_EQ(error_of([&] { Engine::open(options); }), "cancelled: stopped");
}

TEST(OpenCheckpoint, AGgufModelIsAFileOrItsFolderAndTakesANamedProjector) {
  const fs::path folder = sources() / "q8.gguf";
  const TemporaryFolder elsewhere;
  fs::copy(folder / "model.gguf", elsewhere.path() / "model.gguf");
  const std::string model = elsewhere / "model.gguf";
  const std::string problem = error_of([&] { Engine::open(options_for(model)); });
  EXPECT_TRUE(contains(problem, "holds the language model only"));
  EXPECT_TRUE(contains(problem, "--projector"));
  EXPECT_EQ(TextCodec(model).encode("a", false).size(), 1u) << "no vision file is needed for words";
  EngineOptions options = options_for(model);
  options.projector = (folder / "mmproj-model.gguf").string();
  const Outcome outcome = outcome_of(options);
  EXPECT_TRUE(outcome == outcome_of(options_for(folder.string())));
  EXPECT_TRUE(outcome == outcome_of(options_for((folder / "model.gguf").string())));
}

TEST(OpenCheckpoint, WhatDoesNotGoTogetherIsRefused) {
  const TemporaryFolder folder;
  quantize({.model = (sources() / "plain").string(), .out = folder / "int8", .format = "int8"});
  const auto problem = [](EngineOptions options) {
    return error_of([&] { Engine::open(options); });
  };
  EXPECT_TRUE(contains(problem(options_for(folder / "int8", "int4")), "is quantised already"));
  EXPECT_TRUE(contains(problem(options_for((sources() / "plain").string(), "int3")),
                       "weights: found 'int3', expected one of bf16, int8, int4, int4-small"));
  for (const std::string& model : {(sources() / "plain").string(), folder / "int8"}) {
    EngineOptions options = options_for(model);
    options.projector = "mmproj.gguf";
    EXPECT_TRUE(contains(problem(options), "is no GGUF model"));
  }
}

TEST(OpenCheckpoint, AModelOfTheWrongShapeIsRefusedBeforeAnythingIsConverted) {
  const TemporaryFolder folder;
  fs::copy(sources() / "awq", folder.path() / "awq");
  std::string config = file_bytes(folder / "awq/config.json");
  config.replace(config.find("\"num_hidden_layers\": 3"), 22, "\"num_hidden_layers\": 4");
  folder.write("awq/config.json", config);
  EngineOptions options = options_for(folder / "awq");
  options.on_load = [](std::uint64_t, std::uint64_t, const std::string&) { FAIL(); };
  EXPECT_TRUE(contains(error_of([&] { Engine::open(options); }),
                       "'model.layers.3.mlp.down_proj.weight' is missing"));
}

TEST(OpenCheckpoint, AConvertedFolderSaysWhatOtherProgramsAskFor) {
  const TemporaryFolder folder;
  const auto json = [&](const std::string& file) {
    return nlohmann::json::parse(file_bytes(folder / file));
  };
  for (const char* source : {"awq", "q8.gguf"}) {
    const std::string out = std::string(source) + ".out";
    quantize({.model = (sources() / source).string(), .out = folder / out, .format = "bf16"});
    EXPECT_FALSE(json(out + "/config.json").contains("quantization_config"));
    EXPECT_EQ(json(out + "/config.json")["torch_dtype"], "bfloat16");
    EXPECT_TRUE(json(out + "/tokenizer_config.json").contains("tokenizer_class"));
  }
  const auto tokens = json("q8.gguf.out/tokenizer_config.json");
  EXPECT_EQ(tokens["chat_template"], "{{ messages }}");
  EXPECT_EQ(tokens["eos_token"], "<|im_end|>");
}

// ---- hostile files
// ---------------------------------------------------------------------------------

// Files of a source that hold its weights.
std::vector<std::string> weight_files(const std::string& source) {
  if (source.ends_with(".gguf")) return {"model.gguf", "mmproj-model.gguf"};
  return {"model.safetensors"};
}

TEST_P(EachSource, CutAnywhereEndsInOneError) {
  const TemporaryFolder folder;
  fs::copy(model(), folder.path() / "model");
  for (const std::string& name : weight_files(GetParam())) {
    const std::string whole = file_bytes(model() + "/" + name);
    for (const double part : {0.0, 0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99999}) {
      const auto size = static_cast<std::size_t>(part * static_cast<double>(whole.size()));
      folder.write("model/" + name, whole.substr(0, size));
      const std::string problem = error_of([&] { Engine::open(options_for(folder / "model")); });
      EXPECT_TRUE(contains(problem, "bad_file: ")) << name << " cut to " << size;
      EXPECT_EQ(problem.find('\n'), problem.npos) << problem;
    }
    folder.write("model/" + name, whole);
  }
}

TEST_P(EachSource, AnyChangedByteEndsInAnAnswerOrAnError) {
  const TemporaryFolder folder;
  fs::copy(model(), folder.path() / "model");
  std::mt19937 random(3);
  for (const std::string& name : weight_files(GetParam())) {
    const std::string whole = file_bytes(model() + "/" + name);
    for (int i = 0; i < 16; ++i) {
      std::string changed = whole;
      // Mostly in the head of the file, where names, shapes and places are.
      const std::size_t range = i % 4 == 0 ? whole.size() : whole.size() / 20;
      changed[random() % range] = static_cast<char>(random());
      folder.write("model/" + name, changed);
      const std::string problem = error_of([&] { Engine::open(options_for(folder / "model")); });
      EXPECT_EQ(problem.find("internal: "), problem.npos) << problem;
      EXPECT_LT(problem.size(), 3000u);
    }
    folder.write("model/" + name, whole);
  }
}

}  // namespace
}  // namespace qwenvl
