// Before and after: localize.cpp.
#include "engine/video/localize_state.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/check.h"

namespace qwenvl {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMostTokens = 1 << 30;
constexpr double kMostShare = 1.001;  // probabilities are added up

std::string key_of(const std::string& question, const LookWindow& window) {
  return fmt::format("{:.3f} {:.3f} {:.4f} {}", window.begin, window.end, window.fps, question);
}

// Nothing where a number is none that a run writes: the file was changed since, or is of elsewhere.
std::optional<WindowAnswer> answer_of(const Json& value) {
  WindowAnswer answer;
  answer.text = value.at("text").get<std::string>();
  answer.certainty = value.at("certainty").get<double>();
  answer.of_entries = value.at("of_entries").get<std::vector<double>>();
  answer.yes = value.at("yes").get<double>();
  answer.no = value.at("no").get<double>();
  answer.clip_fps = value.at("fps").get<double>();
  answer.frame_seconds = value.at("frame_seconds").get<std::vector<double>>();
  const auto n_tokens = value.at("video_tokens").get<double>();
  const auto is_share = [](double p) { return p >= 0 && p <= kMostShare; };
  const bool is_sound = n_tokens >= 0 && n_tokens <= kMostTokens && answer.clip_fps >= 0 &&
                        is_share(answer.certainty) && is_share(answer.yes) && is_share(answer.no) &&
                        std::all_of(answer.of_entries.begin(), answer.of_entries.end(), is_share) &&
                        std::is_sorted(answer.frame_seconds.begin(), answer.frame_seconds.end());
  if (!is_sound) return {};
  answer.video_tokens = static_cast<int>(n_tokens);
  return answer;
}

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

LocalizeState::LocalizeState(const std::string& path, const std::string& identity) : path_(path) {
  if (path_.empty()) return;
  read(identity);
  std::error_code error;
  const auto size = std::filesystem::file_size(path_, error);
  const bool is_new = error || size == 0;
  file_.open(path_, std::ios::binary | std::ios::app);
  if (!file_) {
    fail(ErrorKind::device, "state file {}: cannot be written: {}", quoted(path_),
         std::strerror(errno));
  }
  append(is_new ? identity : "");  // an empty line ends one that was cut off
}

void LocalizeState::read(const std::string& identity) {
  std::ifstream file(path_, std::ios::binary);
  std::string line;
  if (!file || !std::getline(file, line)) return;
  if (line != identity) {
    fail(ErrorKind::bad_request,
         "state file {}: is of {}, expected {}; name another file, or delete it to begin anew",
         quoted(path_), quoted(line, 400), quoted(identity, 400));
  }
  while (std::getline(file, line)) take_line(line);
}

void LocalizeState::take_line(const std::string& line) {
  const Json value = Json::parse(line, nullptr, false);
  if (!value.is_object()) return;  // cut off when a run ended
  std::optional<WindowAnswer> answer;
  try {
    if (value.contains("stretches")) {
      std::vector<Stretch> stretches;
      for (const Json& s : value["stretches"])
        stretches.push_back({s.at(0).get<double>(), s.at(1).get<double>(), s.at(2).get<double>()});
      stretches_ = std::move(stretches);
      return;
    }
    answer = answer_of(value);
    if (answer) answers_[value.at("window").get<std::string>()] = std::move(*answer);
  } catch (const nlohmann::json::exception&) {
    answer.reset();
  }
  if (answer) return;
  fail(
      ErrorKind::bad_file,
      "state file {}: found {}, expected an answer about a window: delete the line, or the file to "
      "begin anew",
      quoted(path_), quoted(line));
}

void LocalizeState::append(const std::string& line) {
  if (path_.empty()) return;
  file_ << line << '\n';
  if (!file_.flush()) {
    fail(ErrorKind::device, "state file {}: cannot be written: {}", quoted(path_),
         std::strerror(errno));
  }
}

void LocalizeState::keep(const std::vector<Stretch>& stretches) {
  Json list = Json::array();
  for (const Stretch& s : stretches) list.push_back({s.begin, s.end, s.weight});
  append(text_of({{"stretches", std::move(list)}}));
}

const WindowAnswer* LocalizeState::find(const std::string& question,
                                        const LookWindow& window) const {
  const auto found = answers_.find(key_of(question, window));
  return found == answers_.end() ? nullptr : &found->second;
}

void LocalizeState::keep(const std::string& question, const LookWindow& window,
                         const WindowAnswer& answer) {
  append(text_of({{"window", key_of(question, window)},
                  {"text", answer.text},
                  {"video_tokens", answer.video_tokens},
                  {"certainty", answer.certainty},
                  {"of_entries", answer.of_entries},
                  {"yes", answer.yes},
                  {"no", answer.no},
                  {"fps", answer.clip_fps},
                  {"frame_seconds", answer.frame_seconds}}));
}

}  // namespace qwenvl
