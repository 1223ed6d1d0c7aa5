// qwenvl video localize: when does it happen, in a video of any length?
// Before: main.cpp parsed the options.   After: the library looks at windows of the video; then
// event_output.cpp for what was found.
#include "localize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>

#include "event_output.h"
#include "model_choice.h"
#include "options.h"
#include "reply.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

constexpr const char* kExamples = R"(Examples:
  qwenvl video localize match.mp4 "the ball goes into the net"
  qwenvl video localize day.mkv "a person falls down" --state day.jsonl --clips found/
  qwenvl video localize long.mp4 "a red car moves to the left" --sheet found.png --json
  qwenvl video localize long.mp4 "a dog barks" --max-video-tokens 50000 --video-start 600

First the whole video is read once, to see where anything changes. Windows of those places are shown
to the model with few frames; the best of them are looked at again with more. All of it together
stays within --max-video-tokens, however long the video is: what does not fit is looked at with
fewer frames of a second, and then not at all, the least active places first. Where nothing moves, nothing is
looked at, unless nothing moves anywhere.

How a window is judged (--judge). yes-no asks whether it shows the query and takes how likely the
model finds "yes"; where that is likely, it asks when. events asks for a list of all events and takes
the one whose words are nearest to the query; use it with the words the model would use. auto tries
yes-no once and takes events when the model says neither. The confidence of an event is that
likelihood (or nearness) times the probability of the model's answer.

--state keeps each answer in a file as it comes. The same command with the same file goes on where it
was stopped. Another query about the same video may use the same file: what was listed for the first
need not be listed again. A file of another video or model is refused.)";

std::string bar(double share) {
  constexpr int kCells = 20;
  const int n = std::clamp(static_cast<int>(std::lround(share * kCells)), 0, kCells);
  std::string out;
  for (int i = 0; i < kCells; ++i) out += i < n ? "█" : "·";
  return out;
}

std::string time_left(double seconds) {
  if (seconds < 0) return "";
  const auto s = static_cast<long long>(std::ceil(seconds));
  if (s < 60) return fmt::format(", {} s left", s);
  if (s < 3600) return fmt::format(", {}:{:02} left", s / 60, s % 60);
  return fmt::format(", {}:{:02}:{:02} left", s / 3600, s / 60 % 60, s % 60);
}

std::string describe(const LocalizeProgress& p) {
  const char* what = p.stage == "measure"  ? "looking for change"
                     : p.stage == "coarse" ? "first look"
                                           : "closer look";
  const double share = p.total > 0 ? std::clamp(p.done / p.total, 0.0, 1.0) : 0;
  return fmt::format("{} {} {:3.0f} %{}", what, bar(share), share * 100, time_left(p.seconds_left));
}

Judge judge_of(const std::string& name) {
  if (name == "yes-no") return Judge::yes_no;
  return name == "events" ? Judge::events : Judge::automatic;
}

void report(const LocalizeReport& r) {
  note(fmt::format(
      "{:.1f} s of video, {:.1f} s with change; {} windows of {:.1f} s looked at, {} "
      "of them closer; {} visual tokens{}",
      r.video_seconds, r.active_seconds, r.n_coarse, r.coarse_seconds, r.n_fine, r.video_tokens,
      r.n_known > 0 ? fmt::format(" ({} answers known from before)", r.n_known) : ""));
  for (const std::string& warning : r.warnings) note(printable(warning));
}

// Read once for the search, the clips and the sheet, by the reader that was asked for.
void hold_open(Clip& clip, const std::string& reader) {
  if (clip.source.empty() && clip.bytes.empty()) return;  // a list of frames, say
  clip.video = clip.bytes.empty()
                   ? Video::open(clip.source, {.reader = reader})
                   : Video::open(clip.source, std::move(clip.bytes), {.reader = reader});
  clip.source.clear();
  clip.bytes.clear();
}

}  // namespace

void add_localize_options(CLI::App& command, LocalizeCommand& localize, CLI::Option* needed) {
  LocalizeOptions& o = localize.options;
  const auto add = [&](const char* name, auto& value, const char* help, const char* type) {
    CLI::Option* option = command.add_option(name, value, help);
    option->type_name(type)->group("How a long video is searched");
    if (needed) option->needs(needed);
    return option;
  };
  // Asking about a clip has options of these names, too.
  if (!needed)
    add("--max-video-tokens", o.max_video_tokens,
        "Visual tokens of all looks together, whatever the length", "N")
        ->check(whole(1))
        ->capture_default_str();
  if (!needed) add("--fps", o.fps, "Most frames of a second", "FPS")->capture_default_str();
  add("--window-frames", o.window_frames, "Most frames of one look", "N")
      ->check(whole(8, 768))
      ->capture_default_str();
  add("--judge", localize.judge, "How a window is judged", "TEXT")
      ->check(CLI::IsMember({"auto", "yes-no", "events"}))
      ->capture_default_str();
  add("--min-confidence", o.min_confidence, "Events below are not reported (0 to 1)", "P")
      ->capture_default_str();
  add("--state", o.state_path, "Keep answers in this file, and go on from it when it is there",
      "FILE");
}

int run_localize(LocalizeCommand localize) {
  LocalizeOptions& options = localize.options;
  options.judge = judge_of(localize.judge);
  localize.engine.model = chosen_model(localize.engine.model);
  options.model = localize.engine.model;
  check_event_files(localize.files);
  Progress progress;
  progress.show("loading " + printable(localize.engine.model));
  localize.engine.on_load = percentage(progress);
  Engine engine = Engine::open(localize.engine);
  progress.show("reading the video");
  hold_open(options.video, localize.engine.video_reader);
  options.on_progress = [&](const LocalizeProgress& p) { progress.show(describe(p)); };
  options.read_answer = [](EventStream& stream) {
    // The bar goes on; windows are not reported one by one.
    Progress silent(false);
    constexpr KnownMedia kAll = {SIZE_MAX, SIZE_MAX};
    return read_reply(stream, silent, nullptr, kAll).answer;
  };
  LocalizeReport found;
  try {
    found = qwenvl::localize(engine, options);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::cancelled) throw;
    progress.clear();
    note(options.state_path.empty() ? "cancelled"
                                    : fmt::format("cancelled; the same command goes on from {}",
                                                  printable(options.state_path)));
    return kExitCancelled;
  }
  progress.clear();
  report(found);
  write_output(events_text(found, localize.is_json));
  write_event_files(localize.files, options.video, found.events, progress);
  return kExitOk;
}

void add_video_localize(CLI::App& video, Chosen& chosen) {
  CLI::App& command =
      *video.add_subcommand("localize", "Find when something happens, in a video of any length");
  command.footer(kExamples);
  auto localize = std::make_shared<LocalizeCommand>();
  command.add_option("VIDEO", localize->options.video.source, "The video, a file or a URL")
      ->required();
  command.add_option("QUERY", localize->options.query, "What happens: a few words or a sentence")
      ->required();
  add_engine_options(command, localize->engine);
  add_localize_options(command, *localize);
  ClipOptions& clip = localize->options.video.options;
  command.add_option("--video-start", clip.video_start, "Search from this second on")
      ->check(at_least(0))
      ->type_name("SECONDS");
  command.add_option("--video-end", clip.video_end, "Search until this second")
      ->check(at_least(0))
      ->type_name("SECONDS");
  command.add_option("--min-pixels", clip.frame.min_pixels, "Least pixels of a resized frame")
      ->check(whole(1))
      ->type_name("N");
  command.add_option("--max-pixels", clip.frame.max_pixels, "Most pixels of a resized frame")
      ->check(whole(1))
      ->type_name("N");
  add_event_file_options(command, localize->files);
  command.add_flag("--json", chosen.is_json_wanted, "One JSON object with everything known");
  command.callback([localize, &chosen] {
    localize->is_json = chosen.is_json_wanted;
    chosen.run = [localize] { return run_localize(*localize); };
  });
}

}  // namespace qwenvl::cli
