// Quantised folders: complete, refused when they do not fit, and close to the original.
#include "qwenvl/quantize.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "engine/foreign_folder.h"
#include "qwenvl/engine.h"
#include "qwenvl/tools.h"
#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace qwenvl {
namespace {

const std::string kTiny = std::string(QWENVL_TEST_DATA) + "/golden/checkpoints/tiny";

std::vector<std::int32_t> answer_ids(Engine& engine) {
  Request request{.messages = {{"user", {Part::words("What is this?")}}}};
  request.sampling.do_sample = false;
  request.sampling.max_new_tokens = 12;
  request.sampling.min_new_tokens = 12;
  const Answer answer = collect(engine.submit(request));
  std::vector<std::int32_t> ids;
  for (const TokenInfo& token : answer.choices[0].tokens) ids.push_back(token.chosen.id);
  return ids;
}

std::vector<std::int32_t> answer_ids(const std::string& model, int n_threads = 1) {
  Engine engine = Engine::open({.model = model, .n_threads = n_threads});
  return answer_ids(engine);
}

TEST(Quantize, EveryFormatMakesAFolderThatAnswers) {
  const TemporaryFolder folder;
  for (const char* format : {"bf16", "int8", "int4", "int4-small"}) {
    const std::string out = folder / format;
    const QuantizeReport report = quantize({.model = kTiny, .out = out, .format = format});
    EXPECT_EQ(answer_ids(out).size(), 12u) << format;
    EXPECT_EQ(answer_ids(out), answer_ids(out, 3)) << format << ": threads change nothing";
    std::uint64_t bytes = 0;
    for (const QuantizedTensor& tensor : report.tensors) bytes += tensor.bytes;
    EXPECT_EQ(bytes, report.bytes) << format;
    EXPECT_EQ(inspect_model(out).bytes, report.bytes) << format;
    EXPECT_EQ(inspect_model(out).parameters, inspect_model(kTiny).parameters) << format;
    EXPECT_FALSE(std::filesystem::exists(out + ".part")) << format;
  }
}

TEST(Quantize, EightBitsStayCloserToTheOriginalThanFour) {
  const TemporaryFolder folder;
  quantize({.model = kTiny, .out = folder / "int8", .format = "int8"});
  quantize({.model = kTiny, .out = folder / "int4", .format = "int4-small"});
  const ModelComparison int8 = compare_models(kTiny, folder / "int8", 1);
  const ModelComparison int4 = compare_models(kTiny, folder / "int4", 1);
  EXPECT_EQ(int8.prompts.size(), 24u);
  EXPECT_LT(int8.mean_kl, 0.05);
  EXPECT_LT(int8.mean_kl, int4.mean_kl);
  EXPECT_EQ(compare_models(kTiny, kTiny, 1).mean_kl, 0);
  EXPECT_EQ(compare_models(kTiny, kTiny, 1).top1_agreement, 1);
}

TEST(Quantize, ProgressEndsAtTheWhole) {
  const TemporaryFolder folder;
  std::uint64_t last = 0, whole = 1;
  quantize({.model = kTiny, .out = folder / "out"},
           [&](std::uint64_t done, std::uint64_t total, const std::string&) {
             EXPECT_GT(done, last);
             last = done;
             whole = total;
           });
  EXPECT_EQ(last, whole);
}

TEST(Quantize, WhatCannotBeDoneIsRefusedAndLeavesNothing) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  const auto problem = [&](const QuantizeOptions& options) {
    return error_of([&] { quantize(options); });
  };
  EXPECT_EQ(problem({.model = kTiny, .out = out, .format = "int3"}),
            "bad_request: format: found 'int3', expected one of bf16, int8, int4, int4-small");
  EXPECT_NE(problem({.model = folder / "absent", .out = out}), "");
  EXPECT_EQ(problem({.model = kTiny, .out = folder.path().string()}),
            "bad_request: " + folder.path().string() + ": exists, expected a folder that does not");
  EXPECT_EQ(problem({.model = kTiny, .out = ""}),
            "bad_request: OUT: empty, expected a folder name");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  quantize({.model = kTiny, .out = out});
  EXPECT_NE(problem({.model = out, .out = folder / "again"}).find("is quantised already"),
            std::string::npos);
}

// A folder whose configuration promises more layers than there are.
void expect_noticed_before_any_work(const TemporaryFolder& folder) {
  std::ifstream file(folder.path() / "model/config.json");
  std::string config{std::istreambuf_iterator<char>(file), {}};
  const std::string from = "\"num_hidden_layers\": ";
  const std::size_t at = config.find(from);
  ASSERT_NE(at, std::string::npos);
  config[at + from.size()] = '9';
  folder.write("model/config.json", config);
  int n_calls = 0;
  const std::string problem = error_of([&] {
    quantize({.model = folder / "model", .out = folder / "out"},
             [&](std::uint64_t, std::uint64_t, const std::string&) { ++n_calls; });
  });
  EXPECT_NE(problem.find("model.layers.3."), std::string::npos) << problem;
  EXPECT_NE(problem.find("is missing"), std::string::npos) << problem;
  EXPECT_EQ(n_calls, 0);
}

TEST(Quantize, WhatAFolderLacksIsNoticedBeforeAnyWork) {
  const TemporaryFolder folder;
  std::filesystem::copy(kTiny, folder / "model", std::filesystem::copy_options::recursive);
  expect_noticed_before_any_work(folder);
}

TEST(Quantize, WhatAnotherProgramsFolderLacksIsNoticedBeforeAnyWork) {
  const TemporaryFolder folder;
  ForeignFolder(folder.path() / "model", R"({"quant_method": "awq", "bits": 4, "group_size": 8})",
                &ForeignFolder::awq);
  expect_noticed_before_any_work(folder);
}

TEST(Quantize, ASlashBehindTheFolderChangesNothing) {
  const TemporaryFolder folder;
  quantize({.model = kTiny, .out = folder / "out/"});
  EXPECT_EQ(inspect_model(folder / "out").bytes, inspect_model(folder / "out/").bytes);
  EXPECT_FALSE(std::filesystem::exists(folder / "out.part"));
}

TEST(Quantize, AStopInTheMiddleLeavesNothing) {
  const TemporaryFolder folder;
  struct Stopped {};
  const auto stop_halfway = [](std::uint64_t done, std::uint64_t total, const std::string&) {
    if (done > total / 2) throw Error(ErrorKind::cancelled, "stopped");
  };
  EXPECT_EQ(error_of([&] { quantize({.model = kTiny, .out = folder / "out"}, stop_halfway); }),
            "cancelled: stopped");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// The file of a quantised model, changed in one place.
class DamagedFile {
 public:
  DamagedFile() { quantize({.model = kTiny, .out = folder_ / "model", .format = "int4"}); }
  std::string problem_after(const std::string& from, const std::string& to) {
    const std::filesystem::path path = folder_.path() / "model/model.safetensors";
    std::ifstream in(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    const std::size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    EXPECT_EQ(from.size(), to.size());
    bytes.replace(at, from.size(), to);
    folder_.write("model/model.safetensors", bytes);
    return error_of([&] { Engine::open({.model = folder_ / "model"}); });
  }

 private:
  TemporaryFolder folder_;
};

TEST(Quantize, FilesOfAnotherVersionAreRefused) {
  const std::string problem =
      DamagedFile().problem_after(R"("qwenvl.version":"1")", R"("qwenvl.version":"7")");
  EXPECT_NE(problem.find("unsupported: "), std::string::npos) << problem;
  EXPECT_NE(problem.find("packed in version '7'"), std::string::npos) << problem;
}

TEST(Quantize, UnknownPackingsAreNamed) {
  const std::string problem = DamagedFile().problem_after(R"(\"int4\")", R"(\"int2\")");
  EXPECT_NE(problem.find("is packed as 'int2', expected int8, int8_grouped or int4"),
            std::string::npos)
      << problem;
}

TEST(Quantize, APackingThatDoesNotFitTheBytesIsNamed) {
  const std::string problem = DamagedFile().problem_after(R"(\"int4\")", R"(\"int8\")");
  EXPECT_NE(problem.find(" bytes, expected "), std::string::npos) << problem;
}

}  // namespace
}  // namespace qwenvl
