// Other programs' files from outside: asked, inspected and converted like any model.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/foreign_folder.h"
#include "engine/gguf_models.h"
#include "run_program.h"

namespace qwenvl::testing {
namespace {

using Json = nlohmann::json;

class Foreign : public ::testing::Test {
 protected:
  Foreign() {
    write_language_gguf(folder_.path() / "model.gguf", "Q8_0");
    write_vision_gguf(folder_.path() / "mmproj-model.gguf", "F16");
    ForeignFolder(folder_.path() / "awq", R"({"quant_method": "awq", "bits": 4, "group_size": 8})",
                  &ForeignFolder::awq);
  }
  std::string answer(const std::string& model, const std::string& weights) const {
    const Outcome outcome = run({"ask", "--model", model, "--weights", weights, "--greedy",
                                 "--max-new-tokens", "5", "What is this?"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.out;
  }

  TemporaryFolder folder_;
};

TEST_F(Foreign, AConvertedFolderAnswersAsItsSource) {
  for (const char* name : {"model.gguf", "awq"}) {
    const std::string out = folder_ / (std::string(name) + ".out");
    const Outcome outcome = run({"convert", folder_ / name, out, "--json"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_GT(Json::parse(outcome.out)["bytes"], 1000) << name;
    EXPECT_EQ(answer(folder_ / name, "bf16"), answer(out, "auto")) << name;
  }
}

TEST_F(Foreign, InspectTellsWhatIsStoredAndWhatBecomesOfIt) {
  const Outcome outcome = run({"inspect", folder_ / "model.gguf"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const char* part : {"stored as", "Q4_K 1", "converted while loading to", "int8_grouped"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part << "\n" << outcome.out;
  }
  const std::string plain = run({"inspect", kTinyModel}).out;
  EXPECT_EQ(plain.find("converted while loading to"), std::string::npos) << plain;
}

TEST_F(Foreign, AMissingVisionFileIsAWrongRequestThatSaysWhatToDo) {
  std::filesystem::rename(folder_.path() / "mmproj-model.gguf", folder_.path() / "vision.gguf");
  const Outcome missing = run({"ask", "--model", folder_ / "model.gguf", "hello"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_NE(missing.err.find("--projector FILE"), std::string::npos) << missing.err;
  const Outcome found = run({"ask", "--model", folder_ / "model.gguf", "--projector",
                             folder_ / "vision.gguf", "--max-new-tokens", "2", "hello"});
  EXPECT_EQ(found.exit_code, 0) << found.err;
  EXPECT_EQ(run({"tokenize", "--model", folder_ / "model.gguf", "hello"}).exit_code, 0);
}

TEST_F(Foreign, QuantizeAndConvertTakeTheProjectorToo) {
  std::filesystem::rename(folder_.path() / "mmproj-model.gguf", folder_.path() / "vision.gguf");
  for (const char* command : {"quantize", "convert"}) {
    const Outcome outcome = run({command, folder_ / "model.gguf", folder_ / command, "--projector",
                                 folder_ / "vision.gguf"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  }
}

}  // namespace
}  // namespace qwenvl::testing
