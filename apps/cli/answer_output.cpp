// A finished answer → text with converted coordinates, JSON, a picture with boxes, a file of
// scores.
#include "answer_output.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "json_text.h"
#include "qwenvl/times.h"
#include "qwenvl/tools.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

using Json = nlohmann::ordered_json;  // fields in reading order

Json json_of(const TokenLogprob& token) {
  return {{"id", token.id}, {"text", token.text}, {"logprob", token.logprob}};
}

Json json_of(const Mark& mark) {
  Json out = {{"label", mark.label}};
  if (mark.kind == Mark::Kind::box) {
    out["box"] = {mark.x1, mark.y1, mark.x2, mark.y2};
  } else {
    out["point"] = {mark.x1, mark.y1};
  }
  return out;
}

Json json_of(const PictureInfo& picture) {
  return {{"name", picture.name},
          {"original", {{"width", picture.original_width}, {"height", picture.original_height}}},
          {"processed", {{"width", picture.processed_width}, {"height", picture.processed_height}}},
          {"tokens", picture.n_tokens}};
}

Json json_of(const ClipInfo& clip) {
  Json out = {{"name", clip.name},
              {"frames", clip.n_frames},
              {"fps", clip.fps},
              {"seconds", clip.seconds},
              {"original", {{"width", clip.original_width}, {"height", clip.original_height}}},
              {"processed", {{"width", clip.processed_width}, {"height", clip.processed_height}}},
              {"tokens", clip.n_tokens}};
  if (clip.max_tokens > 0) out["max_tokens"] = clip.max_tokens;
  if (clip.n_video_frames > 0) {
    out["video"] = {{"frames", clip.n_video_frames}, {"fps", clip.video_fps}};
    out["frame_seconds"] = clip.frame_seconds;
    out["warnings"] = clip.warnings;
    Json& pairs = out["pairs"] = Json::array();
    for (const PlannedPair& pair : clip.pairs) {
      pairs.push_back({{"seconds", pair.seconds},
                       {"frames", {pair.first, pair.second}},
                       {"why", name_of(pair.why)},
                       {"width", pair.width},
                       {"height", pair.height},
                       {"tokens", pair.n_tokens}});
    }
  }
  return out;
}

Json json_of(const TimeSpan& span) {
  return {{"begin", span.begin},
          {"end", span.end},
          {"begin_clock", clock_text(span.begin)},
          {"end_clock", clock_text(span.end)},
          {"is_moment", span.is_moment},
          {"is_outside", span.is_outside},
          {"description", span.description}};
}

// In seconds of the video. With several clips nothing says which of them is meant.
Json times_of(const std::string& text, const std::vector<ClipInfo>& clips) {
  Json out = Json::array();
  if (clips.size() != 1) return out;
  for (const TimeSpan& span : find_times(text))
    out.push_back(json_of(to_video_time(span, clips[0])));
  return out;
}

Json json_of(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"picture_tokens", usage.picture_tokens},
          {"completion_tokens", usage.completion_tokens}};
}

Json json_of(const Timings& t) {
  return {{"load_ms", t.load_ms},
          {"preprocess_ms", t.preprocess_ms},
          {"encode_ms", t.encode_ms},
          {"prefill_ms", t.prefill_ms},
          {"decode_ms", t.decode_ms}};
}

// Without log-probabilities only the ids are known.
Json json_of(const std::vector<TokenInfo>& tokens, bool has_logprobs) {
  Json out = Json::array();
  for (const TokenInfo& token : tokens) {
    if (!has_logprobs) {
      out.push_back({{"id", token.chosen.id}});
      continue;
    }
    Json entry = json_of(token.chosen);
    entry["top"] = Json::array();
    for (const TokenLogprob& other : token.top) entry["top"].push_back(json_of(other));
    out.push_back(std::move(entry));
  }
  return out;
}

void check_folder_of(const std::string& path, const char* option) {
  const std::filesystem::path folder = std::filesystem::absolute(path).parent_path();
  if (!std::filesystem::is_directory(folder)) {
    throw Error(ErrorKind::bad_request, fmt::format("{} {}: there is no folder {}", option,
                                                    printable(path), printable(folder.string())));
  }
}

}  // namespace

void AnswerOutput::check(std::size_t n_pictures) const {
  if (!boxes_path.empty()) check_folder_of(boxes_path, "--boxes");
  const bool needs_picture = !boxes_path.empty() || coordinates == "original";
  const auto number = static_cast<std::size_t>(picture_number);
  if (needs_picture && n_pictures == 0) {
    throw Error(ErrorKind::bad_request,
                "--boxes and --coordinates original need a picture; the request has none");
  }
  if (needs_picture && n_pictures > 1 && number == 0) {
    throw Error(
        ErrorKind::bad_request,
        fmt::format("the request has {} pictures: say with --boxes-image N to which of them "
                    "coordinates refer",
                    n_pictures));
  }
  if (number > 0 && !needs_picture) {
    throw Error(ErrorKind::bad_request,
                "--boxes-image does nothing without --boxes or --coordinates original");
  }
  if (number > n_pictures) {
    throw Error(ErrorKind::bad_request,
                fmt::format("--boxes-image {}: the request has {} picture(s)", number, n_pictures));
  }
}

std::string AnswerOutput::text_of(const Choice& choice, const Answer& answer) const {
  if (coordinates == "processed" || choice.text.empty()) return choice.text;
  return to_original_coordinates(choice.text, answer.pictures.at(picture_index()));
}

void AnswerOutput::print(const Answer& answer) const {
  if (!is_json) {
    const bool is_numbered = answer.choices.size() > 1;
    for (std::size_t i = 0; i < answer.choices.size(); ++i) {
      if (is_numbered) write_output(fmt::format("[{}] ", i + 1));
      write_output(text_of(answer.choices[i], answer) + "\n");
    }
    return;
  }
  Json choices = Json::array();
  for (const Choice& choice : answer.choices) {
    Json marks = Json::array();
    for (Mark mark : find_marks(choice.text)) {
      if (coordinates == "original") mark = to_original(mark, answer.pictures.at(picture_index()));
      marks.push_back(json_of(mark));
    }
    choices.push_back({{"text", text_of(choice, answer)},
                       {"finish_reason", name_of(choice.finish_reason)},
                       {"matched_stop", choice.matched_stop},
                       {"score", choice.score},
                       {"marks", std::move(marks)},
                       {"times", times_of(choice.text, answer.clips)},
                       {"tokens", json_of(choice.tokens, has_logprobs)}});
  }
  Json pictures = Json::array();
  for (const PictureInfo& picture : answer.pictures) pictures.push_back(json_of(picture));
  Json clips = Json::array();
  for (const ClipInfo& clip : answer.clips) clips.push_back(json_of(clip));
  Json out;
  out["answer"] = choices.empty() ? Json("") : choices[0]["text"];
  out["finish_reason"] = choices.empty() ? Json("none") : choices[0]["finish_reason"];
  out["choices"] = std::move(choices);
  out["coordinates"] = coordinates;
  out["pictures"] = std::move(pictures);
  out["clips"] = std::move(clips);
  out["usage"] = json_of(answer.usage);
  out["timings"] = json_of(answer.timings);
  out["seed"] = answer.seed;
  write_output(json_text(out) + "\n");
}

void AnswerOutput::draw(const Answer& answer, const std::vector<const Picture*>& pictures,
                        const std::string& loader) const {
  if (boxes_path.empty()) return;
  std::vector<Mark> marks;
  if (!answer.choices.empty()) {
    for (const Mark& mark : find_marks(answer.choices[0].text)) {
      marks.push_back(to_original(mark, answer.pictures.at(picture_index())));
    }
  }
  draw_marks_png(*pictures.at(picture_index()), loader, marks, boxes_path);
  note(fmt::format("{}: {} boxes and points drawn", printable(boxes_path), marks.size()));
}

void write_logits(const std::string& path, const std::vector<float>& logits,
                  const std::vector<std::int32_t>& input_ids) {
  const std::vector<std::int64_t> ids(input_ids.begin(), input_ids.end());
  const std::size_t ids_bytes = ids.size() * sizeof(std::int64_t);
  const std::size_t logits_bytes = logits.size() * sizeof(float);
  const Json header_json = {
      {"input_ids", {{"dtype", "I64"}, {"shape", {ids.size()}}, {"data_offsets", {0, ids_bytes}}}},
      {"logits",
       {{"dtype", "F32"},
        {"shape", {logits.size()}},
        {"data_offsets", {ids_bytes, ids_bytes + logits_bytes}}}}};
  std::string header = header_json.dump();
  header.resize((header.size() + 7) / 8 * 8, ' ');  // the format aligns the data to 8 bytes
  const std::uint64_t header_bytes = header.size();

  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes);
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  file.write(reinterpret_cast<const char*>(ids.data()), static_cast<std::streamsize>(ids_bytes));
  file.write(reinterpret_cast<const char*>(logits.data()),
             static_cast<std::streamsize>(logits_bytes));
  file.close();
  if (!file) {
    throw Error(ErrorKind::device, fmt::format("--dump-logits {}: cannot be written: {}",
                                               printable(path), std::strerror(errno)));
  }
}

}  // namespace qwenvl::cli
