// Which model answers when none is named: the published one from the cache, else the demo model
// that lies beside the program. The tiny checkpoint takes the place of both.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "run_program.h"

namespace qwenvl::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNotice = "demo model:";

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// A copy of the program in a folder of its own, and an empty cache.
class ModelChoice : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_.path() / "prefix/bin");
    fs::copy_file(QWENVL_PROGRAM, program());
  }

  std::string program() const { return folder_ / "prefix/bin/qwenvl"; }
  fs::path installed_demo() const { return folder_.path() / "prefix/share/qwenvl/demo"; }
  fs::path demo_beside() const { return folder_.path() / "prefix/bin/share/qwenvl/demo"; }
  fs::path repository() const {
    return folder_.path() / "cache/models--Qwen--Qwen2.5-VL-3B-Instruct";
  }
  void put_model(const fs::path& place) const {
    fs::create_directories(place);
    fs::copy(kTinyModel, place);
  }

  Outcome run_copy(const std::vector<std::string>& arguments, const std::string& model = "",
                   const std::string& input = "") const {
    return Running(arguments, input, "",
                   {{"QWENVL_MODEL", model}, {"HF_HUB_CACHE", folder_ / "cache"}}, program())
        .wait();
  }
  std::vector<std::string> question() const {
    return {"ask", "Hi", "--greedy", "--max-new-tokens", "2"};
  }

  TemporaryFolder folder_;
};

TEST_F(ModelChoice, TheInstalledDemoModelAnswersWhenNoneIsNamedAndSaysSoOnce) {
  put_model(installed_demo());
  const Outcome outcome = run_copy(question());
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(count(outcome.err, kNotice), 1U) << outcome.err;
  EXPECT_NE(outcome.err.find("hf download Qwen/Qwen2.5-VL-3B-Instruct"), std::string::npos);
  EXPECT_EQ(count(outcome.out, kNotice), 0U);
}

TEST_F(ModelChoice, TheNoticeLeavesJsonAlone) {
  put_model(installed_demo());
  std::vector<std::string> arguments = question();
  arguments.push_back("--json");
  const Outcome outcome = run_copy(arguments);
  EXPECT_TRUE(nlohmann::json::accept(outcome.out)) << outcome.out;
}

TEST_F(ModelChoice, AConversationSaysOnceThatTheDemoModelAnswers) {
  put_model(installed_demo());
  const Outcome outcome = run_copy({"chat", "--max-new-tokens", "2"}, "", "Hi\nAgain\n");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(count(outcome.err, kNotice), 1U) << outcome.err;
}

TEST_F(ModelChoice, ADemoModelBesideTheProgramIsFoundToo) {
  put_model(demo_beside());
  const Outcome outcome = run_copy({"inspect"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_NE(outcome.out.find(demo_beside().string()), std::string::npos) << outcome.out;
}

TEST_F(ModelChoice, AProgramCalledThroughALinkFindsItsDemoModel) {
  put_model(installed_demo());
  const std::string link = folder_ / "link";
  fs::create_symlink(program(), link);
  const Outcome outcome = Running({"inspect"}, "", "",
                                  {{"QWENVL_MODEL", ""}, {"HF_HUB_CACHE", folder_ / "cache"}}, link)
                              .wait();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST_F(ModelChoice, DemoIsAlsoAName) {
  put_model(installed_demo());
  for (const Outcome& outcome :
       {run_copy({"tokenize", "Hi", "--model", "demo"}), run_copy({"inspect", "demo"}),
        run_copy({"tokenize", "Hi"}, "demo")}) {
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_EQ(outcome.err, "") << "who asks for it by name needs no notice";
  }
}

TEST_F(ModelChoice, ThePublishedModelGoesFirstWhenItWasDownloaded) {
  put_model(installed_demo());
  put_model(repository() / "snapshots/abc");
  fs::create_directories(repository() / "refs");
  write_file(repository() / "refs/main", "abc");
  const Outcome outcome = run_copy({"inspect"});
  EXPECT_NE(outcome.out.find((repository() / "snapshots/abc").string()), std::string::npos)
      << outcome.out;
  EXPECT_EQ(count(outcome.err, kNotice), 0U);
}

TEST_F(ModelChoice, AnUnfinishedDownloadIsReportedAndNotPassedOver) {
  put_model(installed_demo());
  fs::create_directories(repository() / "blobs");
  const Outcome outcome = run_copy(question());
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("download it with"), std::string::npos) << outcome.err;
}

TEST_F(ModelChoice, WithoutAnyModelTheErrorSaysWhereItLookedAndWhatToDo) {
  for (const Outcome& outcome : {run_copy(question()), run_copy({"inspect", "demo"})}) {
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_NE(outcome.err.find(installed_demo().string()), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find(demo_beside().string()), std::string::npos);
  }
}

TEST_F(ModelChoice, AnEmptyNameIsRefused) {
  put_model(installed_demo());
  EXPECT_EQ(run_copy({"tokenize", "Hi", "--model", ""}).exit_code, 2);
  EXPECT_EQ(run_copy({"inspect", ""}).exit_code, 2);
}

}  // namespace
}  // namespace qwenvl::testing
