// qwenvl ask: pictures and text in, one answer out.
// Before: main.cpp parsed the options.   After: the engine; then answer_output.cpp for --json,
// --boxes and --dump-logits.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "answer_output.h"
#include "command.h"
#include "event_output.h"
#include "items.h"
#include "localize.h"
#include "model_choice.h"
#include "options.h"
#include "qwenvl/engine.h"
#include "reply.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

struct AskOptions {
  EngineOptions engine;
  SamplingOptions sampling;
  MediaOptions media;
  AnswerOutput output;
  std::vector<Item> items;
  std::vector<std::string> image_options;
  std::vector<std::string> stop;
  std::string system;
  bool has_system = false;
  std::string tools_path;
  std::string logits_path;
  int n_logprobs = -1;
  bool shows_stats = false;
  bool allows_special_tokens = false;
  bool adds_vision_id = false;
  EventFiles files;
  bool is_localizing = false;
  std::string useless_for_localizing;  // an option that was given; "": none
  LocalizeCommand localize;
};

constexpr const char* kShownGroup = "What is shown";

constexpr const char* kExamples = R"(Examples:
  qwenvl ask photo.jpg "What is this?"
  qwenvl ask before.png after.png "What changed?"
  qwenvl ask "Describe this in one sentence:" photo.jpg --max-new-tokens 60
  qwenvl ask https://example.org/cat.jpg "Which animal?" --greedy
  curl -s https://example.org/a.png | qwenvl ask - "What does the chart say?"
  qwenvl ask page.png "Where are the signatures? Answer in JSON." --boxes marked.png
  qwenvl ask scan.tif "Total?" --json | jq -r .answer
  qwenvl ask a.jpg b.jpg "Compare." --image-options 2:max_pixels=200704
  qwenvl ask clip.mp4 "When does the car stop?"
  qwenvl ask clip.mp4 "What happens?" --fps 4 --video-start 30 --video-end 45
  qwenvl ask frames/ "When does the door open?" --fps 2
  qwenvl ask clip.mp4 "When does the car stop?" --clips found/ --sheet found.png
  qwenvl ask long.mp4 "a car stops" --localize

Picture or text? An argument is a picture when it is "-" (standard input), a URL (http://, https://,
file://, data:) or an existing file; anything else is text. A missing picture is an error, not text:
a name such as photo.jpg must exist. --image X, --video X and --text X decide it by hand.

A video is known by what it holds, whatever its name; a GIF or WebP of several frames is one (--image
shows its first). Two frames of each second are seen, at least 4 and at most 768, its first and last
among them: --fps or --nframes ask for others. Long videos get smaller frames; --total-pixels and
--max-pixels make them smaller still. What is damaged is left out, and said.

Times in an answer about one video are repeated on standard error (with --json: "times") in seconds
of the whole video, whatever part of it was seen.

A folder is a clip: the pictures in it are its frames, sorted by name with numbers in order of size
(frame9.png before frame10.png), all of one size. --fps says at how many frames a second they were
taken (2 if it is not given), which tells the model the time of each. Small frames are enlarged to
100352 pixels unless --min-pixels asks for less.

Pictures are resized for the model; each one's original and processed size is reported on standard
error. Coordinates in an answer are in pixels of the processed picture unless --coordinates original
is given (the answer is then shown when it is complete).)";

Request make_request(const AskOptions& options) {
  Request request;
  if (options.has_system) request.messages.push_back({"system", {Part::words(options.system)}});
  std::vector<Part> parts = make_parts(options.items, options.media, options.image_options);
  if (parts.empty()) {
    throw Error(ErrorKind::bad_request, "nothing to ask: pass a picture, a question, or both");
  }
  request.messages.push_back({"user", std::move(parts)});
  request.sampling = options.sampling.resolved();
  request.stop = options.stop;
  if (!options.tools_path.empty()) request.tools_json = read_tools(options.tools_path);
  request.n_logprobs = options.n_logprobs;
  request.add_vision_id = options.adds_vision_id;
  request.allow_special_tokens = options.allows_special_tokens;
  request.want_first_logits = !options.logits_path.empty();
  return request;
}

// The request's only clip and its words, searched instead of asked.
int run_localizing(const AskOptions& options, const Request& request) {
  if (!options.useless_for_localizing.empty()) {
    throw Error(
        ErrorKind::bad_request,
        fmt::format("--localize asks questions of its own and tells events: {} does nothing "
                    "beside it",
                    options.useless_for_localizing));
  }
  LocalizeCommand localize = options.localize;
  std::string& query = localize.options.query;
  std::size_t n_clips = 0;
  for (const Part& part : request.messages.back().parts) {
    if (part.kind == Part::Kind::picture) n_clips = 2;  // refused as well
    if (part.kind == Part::Kind::text) query += (query.empty() ? "" : " ") + part.text;
    if (part.kind != Part::Kind::clip) continue;
    ++n_clips;
    localize.options.video = part.video;
  }
  if (n_clips != 1 || options.media.chooses_frames()) {
    throw Error(ErrorKind::bad_request,
                "--localize searches one video for one query and chooses frames itself: expected a "
                "video and text, without --nframes and the like");
  }
  if (options.media.clips.max_tokens)
    localize.options.max_video_tokens = *options.media.clips.max_tokens;
  localize.options.video.options.max_tokens.reset();  // of all windows, not of each
  if (options.media.clips.fps) localize.options.fps = *options.media.clips.fps;
  localize.engine = options.engine;
  localize.files = options.files;
  localize.is_json = options.output.is_json;
  return run_localize(std::move(localize));
}

const Clip* only_clip(const Request& request) {
  const Clip* clip = nullptr;
  for (const Part& part : request.messages.back().parts) {
    if (part.kind != Part::Kind::clip) continue;
    if (clip) return nullptr;
    clip = &part.video;
  }
  return clip && clip->frames.empty() ? clip : nullptr;
}

void check_files(const AskOptions& options, const Request& request) {
  if (options.files.clips_folder.empty() && options.files.sheet_path.empty()) return;
  if (!only_clip(request)) {
    throw Error(ErrorKind::bad_request,
                "--clips and --sheet need a request with exactly one video file");
  }
  check_event_files(options.files);
}

int run_ask(const AskOptions& options) {
  const Request request = make_request(options);
  if (options.is_localizing) return run_localizing(options, request);
  check_files(options, request);
  const AnswerOutput& output = options.output;
  output.check(pictures_of(request.messages.back().parts).size());  // before the model is loaded

  EngineOptions engine_options = options.engine;
  engine_options.model = chosen_model(options.engine.model);
  Progress progress;
  progress.show("loading " + printable(engine_options.model));
  engine_options.on_load = percentage(progress);
  Engine engine = Engine::open(engine_options);
  progress.show("reading pictures");
  EventStream stream = engine.submit(request);

  // Text is shown as it comes, unless it must be complete first.
  const bool is_streaming =
      output.may_stream() && request.sampling.num_return_sequences.value_or(1) == 1;
  const Reply reply = read_reply(stream, progress, is_streaming ? write_output : nullptr);

  if (is_streaming) {
    write_output("\n");
  } else {
    output.print(reply.answer);
  }
  if (options.shows_stats) report_stats(reply.answer);
  if (reply.is_cancelled()) {
    note("cancelled");
    return kExitCancelled;
  }
  if (!options.logits_path.empty()) {
    write_logits(options.logits_path, reply.first_logits, engine.prompt_ids(request));
  }
  if (!options.output.is_json) report_times(reply.answer);
  if (const Clip* clip = only_clip(request))
    write_event_files(options.files, *clip, events_of(reply.answer), progress);
  output.draw(reply.answer, pictures_of(request.messages.back().parts), options.engine.loader);
  return kExitOk;
}

void add_prompt_options(CLI::App& command, AskOptions& options) {
  command.add_option("--system", options.system, "System message (unset: the model's own)")
      ->type_name("TEXT")
      ->each([&options](const std::string&) { options.has_system = true; });
  command.add_option("--tools", options.tools_path, "JSON list of tool definitions")
      ->type_name("FILE");
  command.add_flag("--add-vision-id", options.adds_vision_id,
                   "Write 'Picture 1: ' before each picture, 'Video 1: ' before clips");
  command.add_flag("--allow-special-tokens", options.allows_special_tokens,
                   "Let <|im_end|> and the like in your text be control tokens");
}

void add_output_options(CLI::App& command, AskOptions& options, Chosen& chosen) {
  AnswerOutput& output = options.output;
  const std::string group = kShownGroup;
  command.add_flag("--json", chosen.is_json_wanted, "One JSON object with everything known")
      ->group(group);
  command
      .add_option("--logprobs", options.n_logprobs,
                  "Log-probabilities of each token and the N best; with --json")
      ->check(whole(0, 1000))
      ->type_name("N")
      ->needs("--json")
      ->group(group);
  command.add_flag("--stats", options.shows_stats, "Timings, on standard error")->group(group);
  command
      .add_option("--boxes", output.boxes_path,
                  "Write the picture with the answer's boxes and points as PNG")
      ->type_name("OUT.png")
      ->group(group);
  command
      .add_option("--boxes-image", output.picture_number,
                  "Which picture coordinates refer to, from 1")
      ->check(whole(1))
      ->type_name("N")
      ->group(group);
  command
      .add_option("--coordinates", output.coordinates,
                  "Pixels of the original or the processed picture")
      ->check(CLI::IsMember({"processed", "original"}))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--dump-logits", options.logits_path,
                  "Write the first token's scores and the prompt's ids as safetensors")
      ->type_name("FILE")
      ->group(group);
}

void add_event_options(CLI::App& command, AskOptions& options) {
  CLI::Option* localize = command.add_flag(
      "--localize", options.is_localizing,
      "Search a long video for when the text happens, as qwenvl video localize does");
  localize->group("How a long video is searched");
  add_localize_options(command, options.localize, localize);
  add_event_file_options(command, options.files);
}

// An option that was given and shapes requests or answers that a search does not have; "": none.
std::string useless_for_localizing(const CLI::App& command) {
  constexpr std::array<std::string_view, 6> kOfRequests = {
      "--system",        "--tools", "--add-vision-id", "--allow-special-tokens",
      "--image-options", "--stop"};
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_name(), group = option->get_group();
    const bool is_useless =
        std::find(kOfRequests.begin(), kOfRequests.end(), name) != kOfRequests.end() ||
        group.starts_with(kSamplingGroup) || (group == kShownGroup && name != "--json");
    if (is_useless && option->count() > 0) return name;
  }
  return "";
}

constexpr int kMostItems = 1 << 20;

// ITEMS, --image, --video and --text in the order they were typed.
std::vector<Item> items_in_order(const CLI::App& command, const CLI::Option* items,
                                 const CLI::Option* image, const CLI::Option* video,
                                 const CLI::Option* text) {
  std::vector<Item> out;
  std::size_t n_items = 0, n_images = 0, n_videos = 0, n_texts = 0;
  for (const CLI::Option* option : command.parse_order()) {
    if (option == items) out.push_back({Item::Kind::automatic, items->results().at(n_items++)});
    if (option == image) out.push_back({Item::Kind::picture, image->results().at(n_images++)});
    if (option == video) out.push_back({Item::Kind::clip, video->results().at(n_videos++)});
    if (option == text) out.push_back({Item::Kind::text, text->results().at(n_texts++)});
  }
  return out;
}

// An option that may be repeated, each time with exactly one value. Not a vector: the parser would
// take a value "[a,b]" for two, and "{}" for none.
CLI::Option* add_repeated(CLI::App& command, const std::string& name, const std::string& help) {
  return command
      .add_option(
          name, [](const CLI::results_t&) { return true; }, help)
      ->expected(CLI::detail::expected_max_vector_size)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

}  // namespace

void add_ask(CLI::App& program, Chosen& chosen) {
  CLI::App& command =
      *program.add_subcommand("ask", "Ask about pictures and clips, or about nothing but text");
  command.footer(kExamples);
  auto options = std::make_shared<AskOptions>();

  CLI::Option* items =
      add_repeated(command, "ITEMS", "Pictures, videos, folders of frames and text, in any order");
  items->expected(kMostItems,
                  CLI::detail::expected_max_vector_size);  // as a minimum, it is not enforced
  CLI::Option* image =
      add_repeated(command, "--image", "A picture, whatever it looks like")->type_name("SOURCE");
  CLI::Option* video =
      add_repeated(command, "--video", "A video or a folder, whatever it looks like")
          ->type_name("SOURCE");
  CLI::Option* text =
      add_repeated(command, "--text", "Text, whatever it looks like")->type_name("TEXT");
  CLI::Option* image_options =
      add_repeated(command, "--image-options",
                   "Sizes of one picture: N:key=value,… (min_pixels, max_pixels, "
                   "resized_height, resized_width)")
          ->type_name("N:KEY=VALUE");
  CLI::Option* stop =
      add_repeated(command, "--stop", "Text that ends the answer; repeatable")->type_name("TEXT");

  add_prompt_options(command, *options);
  add_engine_options(command, options->engine);
  add_media_options(command, options->media);
  add_sampling_options(command, options->sampling);
  add_output_options(command, *options, chosen);
  add_event_options(command, *options);

  command.callback([=, &command, &chosen] {
    options->items = items_in_order(command, items, image, video, text);
    options->image_options = image_options->results();
    options->stop = stop->results();
    options->output.is_json = chosen.is_json_wanted;
    options->useless_for_localizing = useless_for_localizing(command);
    options->output.has_logprobs = options->n_logprobs >= 0;
    chosen.run = [options] { return run_ask(*options); };
  });
}

}  // namespace qwenvl::cli
