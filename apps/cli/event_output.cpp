// Events found in a video → lines or JSON, cut-out clips, a contact sheet.
// Before: localize.cpp or ask.cpp has the events.   After: the library cuts and draws.
#include "event_output.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "json_text.h"
#include "qwenvl/excerpts.h"
#include "qwenvl/times.h"

namespace qwenvl::cli {

namespace {

using Json = nlohmann::ordered_json;

// Thousandths of a second, so that JSON shows no rounding noise.
double tidy(double value) { return std::round(value * 1000) / 1000; }

Json json_of(const FoundEvent& event) {
  return {{"begin", tidy(event.begin)},
          {"end", tidy(event.end)},
          {"begin_clock", clock_text(event.begin)},
          {"end_clock", clock_text(event.end)},
          {"confidence", tidy(event.confidence)},
          {"description", event.description}};
}

}  // namespace

std::string events_text(const LocalizeReport& report, bool is_json) {
  if (!is_json) {
    std::string out;
    for (const FoundEvent& event : report.events) {
      out += fmt::format("{} - {}  ({:.1f} - {:.1f} s)  {:.2f}  {}\n", clock_text(event.begin),
                         clock_text(event.end), event.begin, event.end, event.confidence,
                         printable(event.description));
    }
    return out.empty() ? "nothing was found\n" : out;
  }
  Json events = Json::array();
  for (const FoundEvent& event : report.events) events.push_back(json_of(event));
  return json_text({{"events", std::move(events)},
                    {"video_seconds", tidy(report.video_seconds)},
                    {"active_seconds", tidy(report.active_seconds)},
                    {"coarse_seconds", tidy(report.coarse_seconds)},
                    {"windows", {{"coarse", report.n_coarse}, {"fine", report.n_fine}}},
                    {"known_answers", report.n_known},
                    {"video_tokens", report.video_tokens},
                    {"judge", name_of(report.judge)},
                    {"warnings", report.warnings}}) +
         "\n";
}

void add_event_file_options(CLI::App& command, EventFiles& files) {
  const std::string group = "What is made of the events of a video";
  command
      .add_option("--clips", files.clips_folder,
                  "Cut each event out as an MP4 file in this folder; exact to the frame, without "
                  "sound")
      ->type_name("DIR")
      ->group(group);
  command
      .add_option("--sheet", files.sheet_path,
                  "Draw a contact sheet: frames of the video and of each event, with times")
      ->type_name("OUT.png")
      ->group(group);
}

void check_event_files(const EventFiles& files) {
  namespace fs = std::filesystem;
  if (!files.sheet_path.empty()) {
    if (!files.sheet_path.ends_with(".png") || fs::is_directory(files.sheet_path)) {
      throw Error(ErrorKind::bad_request,
                  fmt::format("--sheet {}: expected a file whose name ends in .png",
                              printable(files.sheet_path)));
    }
    const fs::path folder = fs::absolute(files.sheet_path).parent_path();
    if (!fs::is_directory(folder)) {
      throw Error(ErrorKind::bad_request,
                  fmt::format("--sheet {}: there is no folder {}", printable(files.sheet_path),
                              printable(folder.string())));
    }
  }
  if (files.clips_folder.empty()) return;
  std::error_code error;
  fs::create_directories(files.clips_folder, error);
  if (!fs::is_directory(files.clips_folder)) {
    throw Error(ErrorKind::bad_request, fmt::format("--clips {}: cannot be made a folder: {}",
                                                    printable(files.clips_folder),
                                                    error ? error.message() : "it is a file"));
  }
}

void write_event_files(const EventFiles& files, const Clip& video,
                       const std::vector<FoundEvent>& events, Progress& progress) {
  if (!files.clips_folder.empty()) {
    const auto show = [&](std::size_t i) {
      progress.show(fmt::format("cutting event {} of {}", i + 1, events.size()));
    };
    const std::vector<CutClip> clips = cut_events(video, events, files.clips_folder, show);
    progress.clear();
    for (const CutClip& clip : clips) {
      note(fmt::format("{}: {} - {}, {} frames, encoded anew by {}, without sound",
                       printable(clip.path), clock_text(clip.begin), clock_text(clip.end),
                       clip.n_frames, clip.encoder));
    }
    if (clips.empty()) note("--clips: no event, no clip");
  }
  if (files.sheet_path.empty()) return;
  progress.show("drawing the contact sheet");
  draw_contact_sheet(video, events, files.sheet_path);
  progress.clear();
  note(fmt::format("{}: contact sheet with {} events", printable(files.sheet_path), events.size()));
}

std::vector<FoundEvent> events_of(const Answer& answer) {
  std::vector<FoundEvent> out;
  if (answer.clips.size() != 1 || answer.choices.empty()) return out;
  for (const TimeSpan& found : find_times(answer.choices[0].text)) {
    const TimeSpan span = to_video_time(found, answer.clips[0]);
    if (!span.is_outside) out.push_back({span.begin, span.end, 1, span.description});
  }
  return out;
}

void report_times(const Answer& answer) {
  if (answer.clips.size() != 1 || answer.choices.empty()) return;
  for (const TimeSpan& found : find_times(answer.choices[0].text)) {
    const TimeSpan span = to_video_time(found, answer.clips[0]);
    const std::string seconds = span.is_moment
                                    ? fmt::format("{:.2f} s", span.begin)
                                    : fmt::format("{:.2f} - {:.2f} s", span.begin, span.end);
    const std::string clock =
        span.is_moment ? clock_text(span.begin)
                       : fmt::format("{} - {}", clock_text(span.begin), clock_text(span.end));
    note(fmt::format("{} of the video ({}): {}{}", seconds, clock, printable(span.description),
                     span.is_outside ? " [beyond what was seen]" : ""));
  }
}

}  // namespace qwenvl::cli
