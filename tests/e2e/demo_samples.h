// The checkpoint and the samples that ship: questions, truths, and what the checkpoint is known to
// answer right (tools/demo/record_answers.py noted it).
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "qwenvl/engine.h"

namespace qwenvl::testing {

using Json = nlohmann::ordered_json;  // the keys of a tool definition stand in the prompt in order

inline const std::string kSource = QWENVL_SOURCE_DIR;
inline const std::string kDemoCheckpoint = kSource + "/checkpoints/demo";
inline const std::string kExpected = std::string(QWENVL_TEST_DATA) + "/e2e/expected_answers.json";

struct Sample {
  std::string id;
  std::vector<std::string> pictures;  // one, or the frames of a clip
  double fps = 0;                     // of a clip; 0: a picture
  std::string prompt;
  bool is_picture_first = true;
  std::string tool;    // its definition, "" without one
  std::string answer;  // what the checkpoint answers
  std::string truth_text;
  Json truth;
};

inline Json read_json(const std::string& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

// Samples with a noted answer, in the order of the file.
inline std::vector<Sample> expected_samples() {
  std::vector<Sample> out;
  const Json truths = read_json(kSource + "/samples/truths.json");
  for (const Json& expected : read_json(kExpected)) {
    for (const Json& record : truths) {
      if (record.at("id") != expected.at("id")) continue;
      Sample& sample = out.emplace_back();
      sample.id = record.at("id");
      for (const std::string name : record.at("frames")) {
        sample.pictures.push_back(kSource + "/samples/" + name);
      }
      sample.fps = record.at("fps");
      sample.prompt = record.at("prompt");
      sample.is_picture_first = record.at("picture_first");
      if (!record.at("tool").is_null()) sample.tool = record.at("tool").dump();
      sample.answer = expected.at("answer");
      sample.truth_text = record.at("answer");
      sample.truth = record.at("truth");
    }
  }
  return out;
}

inline Part media_of(const Sample& sample) {
  if (sample.fps == 0) return Part::picture(sample.pictures.at(0));
  std::vector<Picture> frames;
  for (const std::string& name : sample.pictures) frames.emplace_back().source = name;
  return Part::clip(std::move(frames), {.fps = sample.fps});
}

inline Request request_of(const Sample& sample) {
  std::vector<Part> parts = {Part::words(sample.prompt)};
  parts.insert(sample.is_picture_first ? parts.begin() : parts.end(), media_of(sample));
  Request request;
  request.messages = {{"user", std::move(parts)}};
  request.sampling.do_sample = false;
  if (!sample.tool.empty()) request.tools_json = {sample.tool};
  return request;
}

}  // namespace qwenvl::testing
