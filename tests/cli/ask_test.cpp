// qwenvl ask from outside: what is a picture, what is refused and how, what comes out.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "run_program.h"

namespace qwenvl::testing {
namespace {

using Json = nlohmann::json;

class Ask : public ::testing::Test {
 protected:
  // `qwenvl ask --greedy --max-new-tokens 4 …`
  static Outcome ask(std::vector<std::string> arguments, const std::string& input = "") {
    const std::vector<std::string> start = {"ask", "--greedy", "--max-new-tokens", "4"};
    arguments.insert(arguments.begin(), start.begin(), start.end());
    return run(arguments, input);
  }
  static Json ask_json(std::vector<std::string> arguments, const std::string& input = "") {
    arguments.emplace_back("--json");
    const Outcome outcome = ask(arguments, input);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return Json::parse(outcome.out, nullptr, /*allow_exceptions=*/false);
  }

  TemporaryFolder folder_;
  std::string photo_ = write_file(folder_ / "photo.bmp", bmp_bytes(60, 90));
};

TEST_F(Ask, AnswersAboutAPictureOnStandardOutputAndReportsItsSizesOnStandardError) {
  const Outcome outcome = ask({photo_, "What is this?"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.back(), '\n');
  EXPECT_NE(outcome.err.find("60x90, seen as "), std::string::npos) << outcome.err;
}

TEST_F(Ask, ShowsNoProgressWhereStandardErrorIsNoTerminal) {
  const Outcome outcome = ask({"Hello"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.err, "");
}

TEST_F(Ask, StreamsTheSameTextThatJsonHolds) {
  const Outcome streamed = ask({photo_, "What is this?"});
  const Json json = ask_json({photo_, "What is this?"});
  EXPECT_EQ(json.at("answer").get<std::string>() + "\n", streamed.out);
}

TEST_F(Ask, JsonHoldsEverythingKnownAboutTheAnswer) {
  const Json json = ask_json({photo_, "What is this?", "--logprobs", "2", "--seed", "7"});
  for (const char* key : {"answer", "finish_reason", "choices", "coordinates", "pictures", "usage",
                          "timings", "seed"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  const Json& choice = json.at("choices").at(0);
  for (const char* key : {"text", "finish_reason", "matched_stop", "score", "marks", "tokens"}) {
    EXPECT_TRUE(choice.contains(key)) << key;
  }
  EXPECT_EQ(json["seed"], 7);
  EXPECT_EQ(choice["tokens"].size(), json["usage"]["completion_tokens"].get<std::size_t>());
  EXPECT_EQ(choice["tokens"][0]["top"].size(), 2U);
  const Json& picture = json.at("pictures").at(0);
  EXPECT_EQ(picture["original"], (Json{{"width", 60}, {"height", 90}}));
  EXPECT_EQ(picture["processed"]["width"].get<int>() % 28, 0);
  EXPECT_EQ(json["usage"]["picture_tokens"], picture["tokens"]);
}

TEST_F(Ask, JsonStatesNoProbabilitiesThatWereNotComputed) {
  const Json token = ask_json({"Hello"}).at("choices").at(0).at("tokens").at(0);
  EXPECT_EQ(token.size(), 1U) << token;
  EXPECT_TRUE(token.contains("id"));
}

TEST_F(Ask, KeepsPicturesAndTextInTheOrderTyped) {
  const std::string wide = write_file(folder_ / "wide.bmp", bmp_bytes(120, 60));
  const Json json = ask_json({"First:", "--image", wide, "then:", photo_});
  ASSERT_EQ(json["pictures"].size(), 2U);
  EXPECT_EQ(json["pictures"][0]["original"]["width"], 120);
  EXPECT_EQ(json["pictures"][1]["original"]["width"], 60);
}

TEST_F(Ask, ReadsAPictureFromStandardInput) {
  const Json from_path = ask_json({photo_, "What?"});
  const Json from_input = ask_json({"-", "What?"}, bmp_bytes(60, 90));
  EXPECT_EQ(from_input["answer"], from_path["answer"]);
}

TEST_F(Ask, TakesTextThatLooksLikeAListLiterally) {
  const Json list = ask_json({"[a,b]"});
  const Json parts = ask_json({"a", "b"});
  EXPECT_NE(list["usage"]["prompt_tokens"], parts["usage"]["prompt_tokens"]);
}

TEST_F(Ask, AppliesSizesToOnePictureByItsNumber) {
  const std::string second = write_file(folder_ / "second.bmp", bmp_bytes(60, 90));
  const Json json =
      ask_json({photo_, second, "--image-options", "2:resized_height=56,resized_width=84"});
  EXPECT_EQ(json["pictures"][1]["processed"], (Json{{"width", 84}, {"height", 56}}));
  EXPECT_NE(json["pictures"][0]["processed"], json["pictures"][1]["processed"]);
}

TEST_F(Ask, TakesAFolderForAClipWithItsFramesInNaturalOrder) {
  const std::string clip = folder_ / "clip";
  std::filesystem::create_directories(clip + "/folder.png");
  write_file(clip + "/frame10.bmp", bmp_bytes(112, 112));
  write_file(clip + "/frame9.bmp", bmp_bytes(140, 112));  // the first: its size is reported
  write_file(clip + "/.hidden.bmp", "no picture");
  write_file(clip + "/notes.txt", "no picture");
  const Json json = ask_json({clip, "When?", "--fps", "4", "--min-pixels", "12544"});
  ASSERT_EQ(json["clips"].size(), 1U);
  EXPECT_EQ(json["clips"][0], (Json{{"name", clip},
                                    {"frames", 2},
                                    {"fps", 4.0},
                                    {"seconds", 0.5},
                                    {"original", {{"width", 140}, {"height", 112}}},
                                    {"processed", {{"width", 112}, {"height", 112}}},
                                    {"tokens", 16}}));
  EXPECT_EQ(json["usage"]["picture_tokens"], 16);
  EXPECT_TRUE(json["pictures"].empty());
}

TEST_F(Ask, ReportsAClipOnStandardErrorAndTakesTwoFramesASecondWhereNoneAreGiven) {
  const std::string clip = folder_ / "clip";
  std::filesystem::create_directories(clip);
  for (int k = 1; k <= 3; ++k) write_file(fmt::format("{}/{}.bmp", clip, k), bmp_bytes(112, 112));
  const Outcome outcome = ask({clip, photo_, "Compare", "--resize-rule", "qwen_vl_utils11"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("clip: 3 frames of 112x112, 2 a second: 1.5 s, seen as 112x112 (32 "
                             "tokens)"),
            std::string::npos)
      << outcome.err;
}

TEST_F(Ask, RepeatsASampledAnswerWithTheSameSeed) {
  const std::vector<std::string> arguments = {"ask",    "Hi", "--temperature",    "1",
                                              "--seed", "3",  "--max-new-tokens", "8"};
  EXPECT_EQ(run(arguments).out, run(arguments).out);
}

TEST_F(Ask, NumbersSeveralAnswers) {
  const Outcome outcome =
      run({"ask", "Hi", "-n", "2", "--temperature", "1", "--max-new-tokens", "3"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.rfind("[1] ", 0), 0U);
  EXPECT_NE(outcome.out.find("\n[2] "), std::string::npos);
}

TEST_F(Ask, WritesThePictureWithItsBoxesAsPng) {
  const std::string marked = folder_ / "marked.png";
  EXPECT_EQ(ask({photo_, "Where?", "--boxes", marked}).exit_code, 0);
  EXPECT_EQ(read_whole(marked).substr(0, 4), "\x89PNG");
}

TEST_F(Ask, WritesFirstLogitsAndPromptIdsAsSafetensors) {
  const std::string path = folder_ / "logits.safetensors";
  const Json json = ask_json({photo_, "What?", "--dump-logits", path});
  const std::string bytes = read_whole(path);
  std::uint64_t header_bytes = 0;
  ASSERT_GT(bytes.size(), sizeof header_bytes);
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  const Json header = Json::parse(bytes.substr(8, header_bytes));
  const Json config = Json::parse(read_whole(kTinyModel + "/config.json"));
  EXPECT_EQ(header["logits"]["shape"], Json::array({config["vocab_size"]}));
  EXPECT_EQ(header["input_ids"]["shape"], Json::array({json["usage"]["prompt_tokens"]}));
  EXPECT_EQ(bytes.size(),
            8 + header_bytes + header["logits"]["data_offsets"][1].get<std::size_t>());
}

TEST_F(Ask, ReportsErrorsAsJsonTooWhenJsonIsWanted) {
  const std::string broken = write_file(folder_ / "broken.jpg", "this is no picture");
  const Outcome outcome = ask({broken, "What?", "--json"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_EQ(Json::parse(outcome.out)["error"]["kind"], "bad_file");
}

TEST_F(Ask, EndsWithACodeOfItsOwnWhenTheDiskIsFull) {
  Running program({"ask", "Hi", "--greedy", "--max-new-tokens", "4"}, "", "/dev/full");
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 6);
  EXPECT_NE(outcome.err.find("No space left"), std::string::npos) << outcome.err;
}

TEST_F(Ask, StopsOnInterruptAndSaysSo) {
  Running program(
      {"ask", "Hi", "--greedy", "--min-new-tokens", "4000", "--max-new-tokens", "4000"});
  while (!program.has_output() && !program.is_over()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  program.interrupt();
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  EXPECT_NE(outcome.err.find("cancelled"), std::string::npos) << outcome.err;
}

// ---- refusals ---------------------------------------------------------------------------------

struct Refusal {
  const char* name;
  std::vector<std::string> arguments;
  int exit_code;
  const char* message;  // part of it
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.name; }

class AskRefuses : public ::testing::TestWithParam<Refusal> {};

TEST_P(AskRefuses, WithOneClearMessage) {
  const Refusal& refusal = GetParam();
  TemporaryFolder folder;
  const std::string photo = write_file(folder / "photo.bmp", bmp_bytes(60, 90));
  folder.write("mixed/1.bmp", bmp_bytes(112, 112));
  folder.write("mixed/2.bmp", bmp_bytes(60, 90));
  folder.write("empty/notes.txt", "no picture");
  std::vector<std::string> arguments = {"ask"};
  for (std::string argument : refusal.arguments) {
    if (argument == "PHOTO") argument = photo;
    if (argument.rfind("FOLDER", 0) == 0) argument.replace(0, 6, folder.path().string());
    arguments.push_back(argument);
  }
  const Outcome outcome = run(arguments);
  EXPECT_EQ(outcome.exit_code, refusal.exit_code) << outcome.err;
  EXPECT_NE(outcome.err.find(refusal.message), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.out, "");
}

const Refusal kRefusals[] = {
    {"NothingToAsk", {}, 2, "nothing to ask"},
    {"UnknownOption", {"Hi", "--bogus"}, 2, "--bogus"},
    {"OptionWithoutValue", {"Hi", "--stop"}, 2, "--stop"},
    {"MissingPicture", {"missing.jpg", "What?"}, 3, "missing.jpg: no such picture"},
    {"MissingForcedPicture", {"--image", "missing", "What?"}, 3, "missing"},
    {"FolderWithoutPictures", {"FOLDER/empty", "What?"}, 2, "is a folder without pictures"},
    {"FolderOfAModel", {kTinyModel, "What?"}, 2, "is the folder of a model: pass it with --model"},
    {"FramesOfTwoSizes",
     {"FOLDER/mixed", "--resize-rule", "hf"},
     2,
     "mixed: clip: frame 2 is 60×90"},
    {"NoFramesASecond", {"FOLDER/mixed", "--fps", "0"}, 2, "--fps"},
    {"NanFramesASecond", {"FOLDER/mixed", "--fps", "nan"}, 2, "'nan' is not a number"},
    {"FramesASecondOfAPicture",
     {"PHOTO", "--fps", "2"},
     2,
     "--total-pixels and the like do nothing without a clip"},
    {"TooFewPixelsForAFrame",
     {"FOLDER/mixed", "--max-pixels", "50176"},
     2,
     "lower min_pixels, too"},
    {"UnknownTemporalIds", {"Hi", "--temporal-ids", "magic"}, 2, "magic"},
    {"StandardInputTwice", {"-", "-"}, 3, "standard input: empty"},
    {"EmptyStandardInput", {"-", "What?"}, 3, "standard input: empty"},
    {"NotANumber", {"Hi", "--temperature", "warm"}, 2, "'warm' is not a number"},
    {"NanTemperature", {"Hi", "--temperature", "nan"}, 2, "'nan' is not a number"},
    {"InfiniteTemperature", {"Hi", "--temperature", "inf"}, 2, "'inf' is not a number"},
    {"NegativeTemperature", {"Hi", "--temperature", "-1"}, 2, "--temperature"},
    {"FractionOfATopK", {"Hi", "--top-k", "1.5"}, 2, "'1.5' is not a whole number"},
    {"TopPAboveOne", {"Hi", "--top-p", "1.5"}, 2, "0 to 1"},
    {"MinPBelowZero", {"Hi", "--min-p", "-0.1"}, 2, "0 to 1"},
    {"NegativeSeed", {"Hi", "--seed", "-1"}, 2, "'-1' is not a whole number"},
    {"NoNewTokens", {"Hi", "--max-new-tokens", "0"}, 2, "--max-new-tokens"},
    {"HugeNewTokens", {"Hi", "--max-new-tokens", "99999999999"}, 2, "--max-new-tokens"},
    {"NoBeams", {"Hi", "--beams", "0"}, 2, "--beams"},
    {"GreedyAndTemperature", {"Hi", "--greedy", "--temperature", "1"}, 2, "--greedy excludes"},
    {"EarlyStoppingMaybe", {"Hi", "--early-stopping", "maybe"}, 2, "{yes,no,never}"},
    {"WordAsEosId", {"Hi", "--eos-token-ids", "1,end"}, 2, "'end' is not a whole number"},
    {"LogprobsWithoutJson", {"Hi", "--logprobs", "2"}, 2, "--json"},
    {"UnknownComputeType", {"Hi", "--compute", "float16"}, 2, "float16"},
    {"UnknownLoader", {"Hi", "--loader", "magic"}, 2, "magic"},
    {"UnknownResizeRule", {"Hi", "--resize-rule", "magic"}, 2, "magic"},
    {"UnknownResizeKernel", {"Hi", "--resize-kernel", "magic"}, 2, "magic"},
    {"UnknownNormalisation", {"Hi", "--normalisation", "magic"}, 2, "magic"},
    {"UnknownBackend", {"Hi", "--backend", "magic"}, 2, "magic"},
    {"NegativeThreads", {"Hi", "--threads", "-2"}, 2, "--threads"},
    {"MoreThreadsThanAPoolHolds", {"Hi", "--threads", "1001"}, 2, "0 to 1000"},
    {"TopKWithoutTemperature", {"Hi", "--temperature", "0", "--top-k", "5"}, 2, "temperature"},
    {"SampledBeams", {"Hi", "--beams", "2", "--temperature", "1"}, 4, "num_beams"},
    {"BoxesImageForNothing", {"PHOTO", "--boxes-image", "1"}, 2, "does nothing"},
    {"HeightWithoutWidth", {"PHOTO", "--resized-height", "56"}, 2, "--resized-width"},
    {"ZeroPixels", {"PHOTO", "--max-pixels", "0"}, 2, "--max-pixels"},
    {"UnknownCoordinates", {"PHOTO", "--coordinates", "polar"}, 2, "polar"},
    {"BoxesWithoutPicture", {"Hi", "--boxes", "out.png"}, 2, "need a picture"},
    {"BoxesIntoNoFolder", {"PHOTO", "--boxes", "/nowhere/out.png"}, 2, "there is no folder"},
    {"BoxesOnWhichPicture", {"PHOTO", "PHOTO", "--boxes", "out.png"}, 2, "--boxes-image"},
    {"BoxesOnNoSuchPicture",
     {"PHOTO", "--boxes-image", "2", "--coordinates", "original"},
     2,
     "--boxes-image 2"},
    {"ImageOptionsWithoutNumber",
     {"PHOTO", "--image-options", "max_pixels=5"},
     2,
     "expected NUMBER:"},
    {"ImageOptionsForNoPicture",
     {"PHOTO", "--image-options", "2:max_pixels=5"},
     2,
     "there is no picture 2"},
    {"ImageOptionsUnknownKey", {"PHOTO", "--image-options", "1:size=5"}, 2, "unknown key 'size'"},
    {"ImageOptionsNoValue", {"PHOTO", "--image-options", "1:max_pixels"}, 2, "not an integer"},
    {"ImageOptionsTwice",
     {"PHOTO", "--image-options", "1:max_pixels=50000", "--image-options", "1:max_pixels=60000"},
     2,
     "given twice"},
    {"MissingToolsFile",
     {"Hi", "--tools", "/nowhere/tools.json"},
     3,
     "--tools /nowhere/tools.json"},
    {"ToolsThatAreNoJson", {"Hi", "--tools", "PHOTO"}, 3, "not JSON"},
    {"NoMemory", {"Hi", "--max-memory", "1M"}, 5, "max_memory_bytes: the model takes"},
    {"MissingModel", {"Hi", "--model", "/nowhere/model"}, 2, "/nowhere/model"},
};

INSTANTIATE_TEST_SUITE_P(Table, AskRefuses, ::testing::ValuesIn(kRefusals),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(Ask, SamplesAVideoByWhatHappensAndTellsWhatWasChosenWhy) {
  const std::string clip = std::string(QWENVL_TEST_DATA) + "/golden/video/clips/ten_minutes.mkv";
  const Json out = ask_json({clip, "When?", "--sampling", "dynamic", "--max-video-tokens", "80",
                             "--min-pixels", "3136", "--max-pixels", "12544"});
  const Json& info = out.at("clips").at(0);
  EXPECT_EQ(info.at("max_tokens"), 80);
  EXPECT_LE(info.at("tokens").get<int>(), 80);
  int n_tokens = 0;
  for (const Json& pair : info.at("pairs")) {
    n_tokens += pair.at("tokens").get<int>();
    EXPECT_NE(pair.at("why"), "");
  }
  EXPECT_EQ(info.at("tokens"), n_tokens);
}

TEST_F(Ask, RefusesOptionsThatWouldDoNothingForAVideo) {
  const std::string clip = std::string(QWENVL_TEST_DATA) + "/golden/video/clips/fps_25.mp4";
  const Outcome rates = ask({clip, "When?", "--cut-fps", "5"});
  EXPECT_NE(rates.exit_code, 0);
  EXPECT_NE(rates.err.find("do nothing without --sampling dynamic"), std::string::npos);
  const Outcome both = ask({clip, "When?", "--sampling", "dynamic", "--fps", "5"});
  EXPECT_NE(both.err.find("uniform sampling"), std::string::npos) << both.err;
}

}  // namespace
}  // namespace qwenvl::testing
