// qwenvl inspect, tokenize, --help and --version from outside.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "run_program.h"

namespace qwenvl::testing {
namespace {

using Json = nlohmann::json;

TEST(Program, ExplainsItselfAndEachCommand) {
  EXPECT_NE(run({"--help"}).out.find("Exit codes:"), std::string::npos);
  for (const char* command :
       {"ask", "bench", "chat", "convert", "inspect", "quantize", "tokenize"}) {
    const Outcome outcome = run({command, "--help"});
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_NE(outcome.out.find("Examples:"), std::string::npos) << command;
  }
}

TEST(Program, TellsItsVersion) { EXPECT_EQ(run({"--version"}).out.rfind("qwenvl ", 0), 0U); }

TEST(Program, RefusesToRunWithoutOrWithAnUnknownCommand) {
  EXPECT_EQ(run({}).exit_code, 2);
  const Outcome unknown = run({"paint"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_NE(unknown.err.find("there is no command 'paint'"), std::string::npos) << unknown.err;
}

TEST(Inspect, ListsEveryTensorOfACheckpointWithItsBytes) {
  const Outcome outcome = run({"inspect", kTinyModel, "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  std::uint64_t bytes = 0;
  for (const Json& tensor : json.at("tensors")) bytes += tensor.at("bytes").get<std::uint64_t>();
  EXPECT_GT(json.at("tensors").size(), 20U);
  EXPECT_EQ(bytes, json.at("bytes").get<std::uint64_t>());
  EXPECT_GT(json.at("parameters").get<std::uint64_t>(), 0U);
  EXPECT_TRUE(json.at("machine").contains("backend"));
}

TEST(Inspect, PrintsATableOfTensorsOnlyWhenAsked) {
  const std::string tensor = "embed_tokens.weight";
  EXPECT_EQ(run({"inspect", kTinyModel}).out.find(tensor), std::string::npos);
  EXPECT_NE(run({"inspect", kTinyModel, "--tensors"}).out.find(tensor), std::string::npos);
}

TEST(Inspect, TellsAboutTheMachineWithoutAModel) {
  const Outcome outcome = run({"inspect", "cpu", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_GE(json.at("cores").get<int>(), 1);
  EXPECT_FALSE(json.at("kernels").empty());
}

TEST(Inspect, RefusesACheckpointWhoseTokenizerIsBroken) {
  const TemporaryFolder folder;
  std::filesystem::copy(kTinyModel, folder.path(), std::filesystem::copy_options::recursive);
  folder.write("tokenizer.json", "{}");
  const Outcome outcome = run({"inspect", folder.path().string()});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_NE(outcome.err.find("tokenizer.json"), std::string::npos) << outcome.err;
}

TEST(Inspect, RefusesToListTheTensorsOfAProcessor) {
  EXPECT_EQ(run({"inspect", "cpu", "--tensors"}).exit_code, 2);
}

TEST(Inspect, NamesTheFolderThatIsMissing) {
  const Outcome outcome = run({"inspect", "/nowhere/model"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("/nowhere/model"), std::string::npos) << outcome.err;
}

TEST(Inspect, PlansTheMemoryOfARequest) {
  const auto plan = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"inspect", kTinyModel, "--json"});
    return Json::parse(run(more).out).at("memory");
  };
  const Json usual = plan({});
  EXPECT_EQ(usual.at("tokens"), 2048);
  EXPECT_EQ(usual.at("picture"), Json({512, 512}));
  EXPECT_EQ(usual.at("fits"), true);
  EXPECT_GT(usual.at("peak"), usual.at("kv_cache"));
  const Json other = plan(
      {"--plan-tokens", "4096", "--plan-picture", "none", "--memory", "low", "--kv-cache", "int8"});
  EXPECT_EQ(other.at("mode"), "low");
  EXPECT_EQ(other.at("vision_weights"), 0);
  EXPECT_LT(other.at("kv_cache"), 2 * usual.at("kv_cache").get<std::int64_t>());
}

TEST(Inspect, EndsWithTheCodeForMemoryWhereThePlanDoesNotFit) {
  const Outcome outcome = run({"inspect", kTinyModel, "--max-memory", "1.5M"});
  EXPECT_EQ(outcome.exit_code, 5);
  EXPECT_NE(outcome.out.find("does not fit"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.err.find("--max-memory 1.5 MB: the planned request takes up to"),
            std::string::npos)
      << outcome.err;
}

TEST(Inspect, RefusesSizesThatAreNone) {
  for (const char* picture : {"5", "5x", "0x5", "5x70000", "x", "axb"})
    EXPECT_EQ(run({"inspect", kTinyModel, "--plan-picture", picture}).exit_code, 2) << picture;
  for (const char* size : {"5Q", "G", "-1", "1e99G", "nan"})
    EXPECT_EQ(run({"inspect", kTinyModel, "--max-memory", size}).exit_code, 2) << size;
}

TEST(Tokenize, DecodesWhatItEncoded) {
  const std::string text = "Hello, wörld  😀\n\tif (x) { return; }";
  const Outcome ids = run({"tokenize", text});
  ASSERT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_EQ(run({"tokenize", "--decode", ids.out}).out, text + "\n");
}

TEST(Tokenize, CountsAsManyTokensAsItLists) {
  const Json json = Json::parse(run({"tokenize", "--json", "one two three"}).out);
  EXPECT_EQ(json["ids"].size(), json["count"].get<std::size_t>());
  EXPECT_EQ(json["pieces"].size(), json["ids"].size());
  EXPECT_EQ(run({"tokenize", "--count", "-"}, "one two three").out, json["count"].dump() + "\n");
}

TEST(Tokenize, ParsesControlTokensOnlyWhenAsked) {
  const Json plain = Json::parse(run({"tokenize", "--json", "<|im_end|>"}).out);
  const Json special =
      Json::parse(run({"tokenize", "--json", "--parse-special", "<|im_end|>"}).out);
  EXPECT_GT(plain["count"].get<int>(), 1);
  EXPECT_EQ(special["count"], 1);
}

TEST(Tokenize, RefusesAnIdThatTheTokenizerDoesNotHave) {
  const Outcome outcome = run({"tokenize", "--decode", "40 99999999"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("found id 99999999"), std::string::npos) << outcome.err;
}

TEST(Tokenize, RefusesWhatIsNotAListOfIds) {
  for (const char* ids : {"1,x", "-1", "99999999999999999999", "1.5", "4294967296"}) {
    const Outcome outcome = run({"tokenize", "--decode", ids});
    EXPECT_EQ(outcome.exit_code, 2) << ids << outcome.err;
    EXPECT_EQ(outcome.out, "") << ids;
  }
  EXPECT_EQ(run({"tokenize"}).exit_code, 2);
  EXPECT_EQ(run({"tokenize", "text", "--decode", "1"}).exit_code, 2);
}

TEST(Quantize, ReportsSizesErrorsAndHowFarTheAnswersAreApart) {
  const TemporaryFolder folder;
  const Outcome outcome = run({"quantize", kTinyModel, folder / "out", "--report",
                               folder / "report.json", "--plot", folder / "errors.svg"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("relative error"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("against the original on 24 prompts"), std::string::npos);
  const Json report = Json::parse(read_whole(folder / "report.json"));
  EXPECT_EQ(report.at("format"), "int4");
  EXPECT_GE(report.at("against_original").at("mean_kl").get<double>(), 0);
  EXPECT_EQ(report.at("against_original").at("each").size(), 24u);
  const std::string plot = read_whole(folder / "errors.svg");
  for (const char* text : {"Relative error of the weights: decoder", "mlp.up_proj, int4",
                           "Relative error of the weights: vision", "What is 17 + 25?", "</svg>"}) {
    EXPECT_NE(plot.find(text), std::string::npos) << text;
  }
  std::uint64_t bytes = 0;
  for (const Json& tensor : report.at("tensors")) bytes += tensor.at("bytes").get<std::uint64_t>();
  EXPECT_EQ(bytes, report.at("bytes").get<std::uint64_t>());
  const Outcome inspected = run({"inspect", folder / "out", "--tensors"});
  EXPECT_NE(inspected.out.find("int4"), std::string::npos) << inspected.out;
}

TEST(Quantize, RefusesUnknownFormatsAndFoldersThatExist) {
  const TemporaryFolder folder;
  const Outcome format = run({"quantize", kTinyModel, folder / "out", "--format", "int3"});
  EXPECT_EQ(format.exit_code, 2);
  EXPECT_NE(format.err.find("expected one of bf16, int8, int4, int4-small"), std::string::npos);
  EXPECT_EQ(run({"quantize", kTinyModel, folder.path().string()}).exit_code, 2);
  EXPECT_EQ(run({"quantize", kTinyModel}).exit_code, 2);
  const Outcome empty = run({"quantize", kTinyModel, ""});
  EXPECT_NE(empty.err.find("OUT: empty, expected a folder name"), std::string::npos) << empty.err;
  const Outcome report =
      run({"quantize", kTinyModel, folder / "out", "--report", folder / "absent/report.json"});
  EXPECT_NE(report.err.find("--report: cannot write"), std::string::npos) << report.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "out")) << "said before any work";
}

TEST(Quantize, CalibratesWithTheFilesOfAFolder) {
  const TemporaryFolder folder;
  folder.write("items/notes.txt", "The train leaves at noon.");
  const Outcome outcome =
      run({"quantize", kTinyModel, folder / "out", "--no-check", "--calibration", folder / "items",
           "--report", folder / "report.json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("calibrated on 1 items, "), std::string::npos) << outcome.out;
  const Json report = Json::parse(read_whole(folder / "report.json"));
  EXPECT_EQ(report.at("calibration").at("items"), 1);
  const Outcome absent =
      run({"quantize", kTinyModel, folder / "again", "--calibration", folder / "absent"});
  EXPECT_EQ(absent.exit_code, 2);
  EXPECT_NE(absent.err.find("calibration: "), std::string::npos) << absent.err;
}

}  // namespace
}  // namespace qwenvl::testing
