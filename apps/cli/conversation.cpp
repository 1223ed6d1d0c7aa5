// A conversation and its file: the message list that the reference's chat template takes.
#include "conversation.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "json_text.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

using Json = nlohmann::ordered_json;

// The reference's names.
constexpr std::pair<const char*, std::optional<std::int64_t> ClipOptions::*> kFrameKeys[] = {
    {"nframes", &ClipOptions::n_frames},
    {"min_frames", &ClipOptions::min_frames},
    {"max_frames", &ClipOptions::max_frames}};
constexpr std::pair<const char*, std::optional<double> ClipOptions::*> kSecondsKeys[] = {
    {"fps", &ClipOptions::fps},
    {"video_start", &ClipOptions::video_start},
    {"video_end", &ClipOptions::video_end}};
constexpr double kDefaultSampleFps = 2;

Json json_of(const Clip& clip) {
  Json out = {{"type", "video"}};
  if (!clip.frames.empty()) {
    Json& frames = out["video"] = Json::array();
    for (const Picture& frame : clip.frames) frames.push_back(frame.source);
    out["sample_fps"] = clip.options.fps.value_or(kDefaultSampleFps);
    return out;
  }
  out["video"] = clip.source;
  for (const auto& [key, member] : kFrameKeys) {
    if (const auto value = clip.options.*member) out[key] = *value;
  }
  for (const auto& [key, member] : kSecondsKeys) {
    if (const auto value = clip.options.*member) out[key] = *value;
  }
  return out;
}

Json json_of(const Message& message) {
  const bool is_one_text = message.parts.size() == 1 && message.parts[0].kind == Part::Kind::text;
  if (is_one_text) return {{"role", message.role}, {"content", message.parts[0].text}};
  Json content = Json::array();
  for (const Part& part : message.parts) {
    if (part.kind == Part::Kind::text) {
      content.push_back({{"type", "text"}, {"text", part.text}});
    } else if (part.kind == Part::Kind::picture) {
      content.push_back({{"type", "image"}, {"image", part.image.source}});
    } else {
      content.push_back(json_of(part.video));
    }
  }
  return {{"role", message.role}, {"content", std::move(content)}};
}

Part video_from(const Json& json, const MediaOptions& media) {
  ClipOptions options;  // what was asked then, not now
  options.frame = media.pictures;
  options.total_pixels = media.clips.total_pixels;
  for (const auto& [key, member] : kFrameKeys) {
    if (json.contains(key)) options.*member = json.at(key).get<std::int64_t>();
  }
  for (const auto& [key, member] : kSecondsKeys) {
    if (json.contains(key)) options.*member = json.at(key).get<double>();
  }
  return Part::video_file(json.at("video").get<std::string>(), options);
}

Part clip_from(const Json& json, const MediaOptions& media) {
  const Json& frames = json.at("video");
  if (frames.is_string()) return video_from(json, media);
  if (!frames.is_array()) {
    throw Error(
        ErrorKind::unsupported,
        fmt::format("a video is {}, expected a path or a list of frames", frames.type_name()));
  }
  std::vector<Picture> pictures;
  for (const Json& frame : frames) pictures.emplace_back().source = frame.get<std::string>();
  ClipOptions options = media.clip();
  options.fps = json.value("sample_fps", kDefaultSampleFps);
  return Part::clip(std::move(pictures), options);
}

Part part_from(const Json& json, const MediaOptions& media) {
  const std::string type = json.at("type").get<std::string>();
  if (type == "text") return Part::words(json.at("text").get<std::string>());
  if (type == "image") return Part::picture(json.at("image").get<std::string>(), media.pictures);
  if (type == "video") return clip_from(json, media);
  throw Error(ErrorKind::unsupported,
              fmt::format("a part of type '{}'; known: text, image, video", printable(type)));
}

Message message_from(const Json& json, const MediaOptions& media) {
  Message message;
  message.role = json.at("role").get<std::string>();
  const Json& content = json.at("content");
  if (content.is_string()) {
    message.parts.push_back(Part::words(content.get<std::string>()));
    return message;
  }
  if (!content.is_array()) {
    throw Error(ErrorKind::bad_file,
                fmt::format("content is {}, expected text or a list", content.type_name()));
  }
  for (const Json& part : content) message.parts.push_back(part_from(part, media));
  return message;
}

}  // namespace

std::vector<Message> Conversation::with_system() const {
  std::vector<Message> out;
  if (!system.empty()) out.push_back({"system", {Part::words(system)}});
  out.insert(out.end(), messages.begin(), messages.end());
  return out;
}

void save_conversation(const Conversation& conversation, const std::string& path) {
  Json out = {{"messages", Json::array()}};
  for (const Message& message : conversation.with_system())
    out["messages"].push_back(json_of(message));
  std::ofstream file(path, std::ios::binary);
  file << json_text(out) << "\n";
  file.close();
  if (!file) {
    throw Error(ErrorKind::device,
                fmt::format("{}: cannot be written: {}", printable(path), std::strerror(errno)));
  }
}

Conversation load_conversation(const std::string& path, const MediaOptions& media) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error(ErrorKind::bad_file, fmt::format("{}: {}", printable(path), std::strerror(errno)));
  }
  Conversation out;
  try {
    const Json json = Json::parse(file);
    for (const Json& entry : json.at("messages")) {
      Message message = message_from(entry, media);
      const bool is_system = out.messages.empty() && out.system.empty() &&
                             message.role == "system" && message.parts.size() == 1 &&
                             message.parts[0].kind == Part::Kind::text;
      if (is_system) {
        out.system = message.parts[0].text;
      } else {
        out.messages.push_back(std::move(message));
      }
    }
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::bad_file,
                fmt::format("{}: not a saved conversation: {}", printable(path), error.what()));
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("{}: {}", printable(path), error.what()));
  }
  return out;
}

}  // namespace qwenvl::cli
