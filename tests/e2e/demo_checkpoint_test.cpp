// The model that ships, asked about the samples that ship: right answers from end to end, through
// the library and through the program.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "cli/run_program.h"
#include "e2e/demo_samples.h"
#include "qwenvl/tools.h"

namespace qwenvl::testing {
namespace {

class DemoCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(std::filesystem::exists(kDemoCheckpoint + "/config.json")) << kDemoCheckpoint;
    ASSERT_TRUE(std::filesystem::exists(kExpected)) << kExpected;
    samples_ = expected_samples();
    ASSERT_GE(samples_.size(), 3U) << "too few samples are answered right to test anything";
  }

  // As a user meets it: the checkpoint's own arithmetic, every core.
  static Engine open() { return Engine::open({.model = kDemoCheckpoint}); }
  static std::string answer_of(Engine& engine, const Request& request) {
    return collect(engine.submit(request)).choices.at(0).text;
  }

  // The first sample with this in its truth; null when none is answered right.
  const Sample* sample_with(const std::string& key) const {
    const auto at = std::find_if(samples_.begin(), samples_.end(),
                                 [&](const Sample& s) { return s.truth.contains(key); });
    return at == samples_.end() ? nullptr : &*at;
  }
  // Whose answer is words, to be compared with the truth letter by letter.
  std::vector<Sample> in_words() const {
    std::vector<Sample> out;
    for (const Sample& sample : samples_) {
      if (sample.answer == sample.truth_text) out.push_back(sample);
    }
    return out;
  }

  // Which can be typed into a conversation: one line, the picture first, no function to call.
  std::vector<Sample> in_one_line() const {
    std::vector<Sample> out;
    for (const Sample& sample : in_words()) {
      const bool is_one_line = (sample.prompt + sample.answer).find('\n') == std::string::npos;
      const bool is_plain = sample.tool.empty() && sample.fps == 0 && sample.is_picture_first;
      if (is_one_line && is_plain) out.push_back(sample);
    }
    return out;
  }

  // The program without a model named and without any download.
  Outcome run_program(const std::vector<std::string>& arguments,
                      const std::string& input = "") const {
    return Running(arguments, input, "",
                   {{"QWENVL_MODEL", ""}, {"HF_HUB_CACHE", folder_ / "cache"}})
        .wait();
  }
  std::vector<std::string> question(const Sample& sample) const {
    const std::filesystem::path media = sample.pictures.at(0);
    std::vector<std::string> out = {
        "ask", sample.fps == 0 ? media.string() : media.parent_path().string(), sample.prompt};
    if (!sample.is_picture_first) std::swap(out[1], out[2]);
    if (sample.fps > 0) {
      out.insert(out.end(), {"--fps", fmt::format("{}", sample.fps)});
    }
    if (!sample.tool.empty()) {
      folder_.write("tools.json", "[" + sample.tool + "]");
      out.insert(out.end(), {"--tools", folder_ / "tools.json"});
    }
    return out;
  }

  std::vector<Sample> samples_;
  TemporaryFolder folder_;
};

double overlap(const Mark& mark, const Json& box) {
  const double x1 = box.at(0), y1 = box.at(1), x2 = box.at(2), y2 = box.at(3);
  const double width = std::min(mark.x2, x2) - std::max(mark.x1, x1);
  const double height = std::min(mark.y2, y2) - std::max(mark.y1, y1);
  if (width <= 0 || height <= 0) return 0;
  const double both = (mark.x2 - mark.x1) * (mark.y2 - mark.y1) + (x2 - x1) * (y2 - y1);
  return width * height / (both - width * height);
}

bool is_inside(const Mark& mark, const Json& box) {
  return mark.x1 >= box.at(0) && mark.x1 <= box.at(2) && mark.y1 >= box.at(1) &&
         mark.y1 <= box.at(3);
}

// Whether `mark` is where `entry` of the truth says, and is called the same.
bool is_at(const Mark& mark, const Json& entry, const Json& region) {
  const std::string label = entry.value("label", entry.value("text_content", ""));
  if (mark.label != label) return false;
  return mark.kind == Mark::Kind::box ? overlap(mark, region) >= 0.5 : is_inside(mark, region);
}

TEST_F(DemoCheckpoint, AnswersTheSampleQuestionsRight) {
  Engine engine = open();
  const std::vector<Sample> samples = in_words();
  ASSERT_FALSE(samples.empty());
  for (const Sample& sample : samples) {
    EXPECT_EQ(answer_of(engine, request_of(sample)), sample.truth_text) << sample.id;
  }
}

TEST_F(DemoCheckpoint, FindsEveryThingOfASampleWhereItIs) {
  if (!sample_with("boxes")) GTEST_SKIP() << "no sample with boxes is answered right";
  Engine engine = open();
  for (const Sample& sample : samples_) {
    if (!sample.truth.contains("boxes")) continue;
    const std::vector<Mark> marks = find_marks(answer_of(engine, request_of(sample)));
    const Json& boxes = sample.truth.at("boxes");
    EXPECT_EQ(marks.size(), boxes.size()) << sample.id;
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      const bool has_regions = sample.truth.contains("regions");
      const Json region = has_regions ? sample.truth.at("regions").at(i) : boxes[i].at("bbox_2d");
      EXPECT_TRUE(std::any_of(marks.begin(), marks.end(),
                              [&](const Mark& mark) { return is_at(mark, boxes[i], region); }))
          << sample.id << " lacks " << boxes[i];
    }
  }
}

TEST_F(DemoCheckpoint, TapsInsideTheTarget) {
  if (!sample_with("target")) GTEST_SKIP() << "no screen is answered right";
  Engine engine = open();
  for (const Sample& sample : samples_) {
    if (!sample.truth.contains("target") || sample.truth.at("target").is_null()) continue;
    const std::vector<Mark> marks = find_marks(answer_of(engine, request_of(sample)));
    ASSERT_EQ(marks.size(), 1U) << sample.id;
    EXPECT_TRUE(is_inside(marks[0], sample.truth.at("target"))) << sample.id;
  }
}

TEST_F(DemoCheckpoint, AllSamplesAtOnceGetTheAnswersTheyGetOneByOne) {
  Engine engine = open();
  std::vector<EventStream> streams;
  for (const Sample& sample : samples_) streams.push_back(engine.submit(request_of(sample)));
  for (std::size_t i = 0; i < samples_.size(); ++i) {
    EXPECT_EQ(collect(std::move(streams[i])).choices.at(0).text, samples_[i].answer)
        << samples_[i].id;
  }
}

TEST_F(DemoCheckpoint, TheProgramAnswersRightWithoutAnyDownloadAndSaysWhichModelItIs) {
  const Sample sample = in_words().at(0);
  const Outcome outcome = run_program(question(sample));
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out, sample.truth_text + "\n");
  EXPECT_NE(outcome.err.find("demo model:"), std::string::npos) << outcome.err;
}

TEST_F(DemoCheckpoint, TheStreamedAnswerIsTheWholeAnswer) {
  std::vector<std::string> arguments = question(samples_.at(0));
  const std::string streamed = run_program(arguments).out;
  arguments.push_back("--json");
  const Outcome whole = run_program(arguments);
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(streamed, Json::parse(whole.out).at("answer").get<std::string>() + "\n");
}

TEST_F(DemoCheckpoint, TheProgramAnswersAboutAFolderOfFramesAsTheLibraryDoes) {
  const auto clip = std::find_if(samples_.begin(), samples_.end(),
                                 [](const Sample& sample) { return sample.fps > 0; });
  if (clip == samples_.end()) GTEST_SKIP() << "no clip is answered right";
  const Outcome outcome = run_program(question(*clip));
  EXPECT_EQ(outcome.out, clip->answer + "\n") << outcome.err;
}

TEST_F(DemoCheckpoint, ThePictureWithTheAnswersBoxesIsWritten) {
  const Sample* sample = sample_with("boxes");
  if (!sample) GTEST_SKIP() << "no sample with boxes is answered right";
  std::vector<std::string> arguments = question(*sample);
  arguments.insert(arguments.end(), {"--boxes", folder_ / "marked.png"});
  const Outcome outcome = run_program(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::size_t n_marks = find_marks(sample->answer).size();
  EXPECT_NE(outcome.err.find(std::to_string(n_marks) + " boxes and points drawn"),
            std::string::npos)
      << outcome.err;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "marked.png"));
}

TEST_F(DemoCheckpoint, AConversationTurnsFromOneSampleToTheNext) {
  const std::vector<Sample> samples = in_one_line();
  ASSERT_GE(samples.size(), 2U);
  const Outcome outcome = run_program(
      {"chat"}, "/image " + samples[0].pictures[0] + "\n" + samples[0].prompt +
                    "\n/clear\n/image " + samples[1].pictures[0] + "\n" + samples[1].prompt + "\n");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, samples[0].truth_text + "\n" + samples[1].truth_text + "\n");
}

// What a second turn answers, nobody taught the model; but both ways to ask must agree.
TEST_F(DemoCheckpoint, ASecondTurnSeesTheFirst) {
  const Sample sample = in_one_line().at(0);
  const std::string again = "Read all the text in the image.";
  Request request = request_of(sample);
  request.messages.push_back({"assistant", {Part::words(sample.answer)}});
  request.messages.push_back({"user", {Part::words(again)}});
  request.sampling.max_new_tokens = 128;
  Engine engine = open();
  const std::string second = answer_of(engine, request);
  const Outcome outcome =
      run_program({"chat", "--max-new-tokens", "128"},
                  "/image " + sample.pictures[0] + "\n" + sample.prompt + "\n" + again + "\n");
  EXPECT_EQ(outcome.out, sample.truth_text + "\n" + second + "\n");
}

}  // namespace
}  // namespace qwenvl::testing
