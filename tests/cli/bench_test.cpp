// qwenvl bench from outside. Nothing here asserts how fast anything is: only that every figure is
// there, positive and finite, and that what cannot be measured is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/run_program.h"

namespace qwenvl::testing {
namespace {

using Json = nlohmann::json;

bool is_positive(const Json& figure) {
  return figure.is_number() && std::isfinite(figure.get<double>()) && figure.get<double>() > 0;
}

void expect_probe(const Json& figures) {
  for (const char* name : {"read_gbps", "int8_gops", "bf16_gops", "float32_gops"})
    EXPECT_TRUE(is_positive(figures.at(name))) << name << " is " << figures.at(name);
}

const std::vector<std::string> kSmallSizes = {"--prompt-tokens", "40", "--answer-tokens", "4",
                                              "--batch",         "2",  "--memory-tokens", "0"};

std::vector<std::string> small_bench(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"bench", kTinyModel, "--threads", "2", "--json", "-"};
  arguments.insert(arguments.end(), kSmallSizes.begin(), kSmallSizes.end());
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Bench, MeasuresEveryStageOfAModel) {
  const Outcome outcome = run(small_bench({"--rounds", "1"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json report = Json::parse(outcome.out);
  ASSERT_EQ(report.at("stages").size(), 12U);
  for (const Json& stage : report.at("stages")) {
    const std::string name = stage.at("name");
    EXPECT_TRUE(is_positive(stage.at("min_ms"))) << name;
    EXPECT_TRUE(is_positive(stage.at("median_ms"))) << name;
    EXPECT_FALSE(stage.at("description").get<std::string>().empty()) << name;
    if (name != "load") {
      EXPECT_TRUE(is_positive(stage.at("share"))) << name;
      EXPECT_TRUE(is_positive(stage.at("floor_ms"))) << name;
      EXPECT_TRUE(is_positive(stage.at("gbps"))) << name;
    }
    if (!stage.at("rate_unit").get<std::string>().empty()) {
      EXPECT_TRUE(is_positive(stage.at("rate"))) << name;
    }
    for (const auto& [what, value] : stage.at("more").items())
      EXPECT_TRUE(is_positive(value)) << name << ": " << what;
    expect_probe(stage.at("rounds")[0].at("before"));
    expect_probe(stage.at("rounds")[0].at("after"));
  }
  EXPECT_TRUE(is_positive(report.at("memory").at("peak_bytes")));
  EXPECT_TRUE(is_positive(report.at("memory").at("anonymous_bytes")));
}

TEST(Bench, RunsTheStagesThatWereAskedForInEveryRound) {
  const Outcome outcome = run(small_bench({"--rounds", "2", "--stages", "decode,prefill"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json report = Json::parse(outcome.out);
  ASSERT_EQ(report.at("stages").size(), 2U);
  EXPECT_EQ(report.at("stages")[0].at("name"), "prefill");
  EXPECT_EQ(report.at("stages")[1].at("name"), "decode");
  EXPECT_EQ(report.at("stages")[1].at("rounds").size(), 2U);
  EXPECT_FALSE(report.contains("memory"));
}

TEST(Bench, ReadsAPromptOfExactlyTheTokensThatWereAskedFor) {
  const Outcome outcome = run(small_bench({"--rounds", "1", "--stages", "prefill"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(Json::parse(outcome.out).at("stages")[0].at("description"), "40 tokens of text");
}

TEST(Bench, HashesTheSameLogitsInEveryRun) {
  const auto hash = [] {
    return Json::parse(run(small_bench({"--rounds", "1", "--stages", "ttft-512"})).out)
        .at("stages")[0]
        .at("logits_hash")
        .get<std::string>();
  };
  const std::string first = hash();
  EXPECT_EQ(first.size(), 16U);
  EXPECT_EQ(hash(), first);
}

TEST(Bench, MeasuresTheMachineAlone) {
  const Outcome outcome = run({"bench", "machine", "--rounds", "1", "--json", "-"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json machine = Json::parse(outcome.out);
  expect_probe(machine.at("all_threads")[0]);
  expect_probe(machine.at("one_thread")[0]);
  EXPECT_FALSE(machine.at("int8_loop").get<std::string>().empty());
}

TEST(Bench, WritesATableAndItsFiles) {
  const TemporaryFolder folder;
  const std::string json = (folder.path() / "bench.json").string();
  const std::string plot = (folder.path() / "bench.svg").string();
  const Outcome outcome = run({"bench", kTinyModel, "--rounds", "1", "--stages", "load,decode",
                               "--answer-tokens", "4", "--json", json, "--plot", plot});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("decode"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("share"), std::string::npos) << outcome.out;
  EXPECT_EQ(Json::parse(read_whole(json)).at("stages").size(), 2U);
  const std::string svg = read_whole(plot);
  EXPECT_EQ(svg.rfind("<svg ", 0), 0U) << svg;
  EXPECT_NE(svg.find(">decode</text>"), std::string::npos) << svg;
  EXPECT_NE(svg.find("</svg>"), std::string::npos) << svg;
}

TEST(Bench, RefusesWhatItCannotMeasure) {
  const std::vector<std::vector<std::string>> wrong = {
      {"bench", kTinyModel, "--stages", "decode,dance"},
      {"bench", kTinyModel, "--stages", ""},
      {"bench", kTinyModel, "--rounds", "0"},
      {"bench", kTinyModel, "--rounds", "many"},
      {"bench", kTinyModel, "--answer-tokens", "1"},
      {"bench", kTinyModel, "--threads", "-1"},
      {"bench", kTinyModel, "--json", "/nowhere/bench.json"},
      {"bench", kTinyModel, "--plot", "/nowhere/bench.svg"},
      {"bench", "machine", "--stages", "decode"},
      {"bench", "/nowhere/model"}};
  for (const auto& arguments : wrong) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << arguments.back() << outcome.err;
    EXPECT_EQ(outcome.out, "") << arguments.back();
  }
  EXPECT_NE(run({"bench", kTinyModel, "--stages", "dance"}).err.find("there are load,"),
            std::string::npos);
}

}  // namespace
}  // namespace qwenvl::testing
