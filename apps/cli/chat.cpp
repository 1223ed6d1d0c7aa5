// qwenvl chat: a conversation. Lines from standard input are the user's turns or /commands.
// Before: main.cpp parsed the options.   After: the engine answers the whole conversation each
// turn.
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "command.h"
#include "conversation.h"
#include "items.h"
#include "model_choice.h"
#include "options.h"
#include "qwenvl/engine.h"
#include "reply.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

struct ChatOptions {
  EngineOptions engine;
  SamplingOptions sampling;
  MediaOptions media;
  std::string system;
  bool shows_stats = false;
};

constexpr const char* kCommands = R"(Commands, each on a line of its own:
  /image PATH|URL   add a picture to the next message; repeatable
  /clip PATH        add a video, or the pictures in a folder as one (--fps: how many a second)
  /system TEXT      set the system message (no TEXT: back to the model's own)
  /clear            forget the conversation and the pictures added
  /save FILE.json   write the conversation
  /load FILE.json   go on with a saved one
  /help             this list
  /quit             end (so does the end of the input)
A line that ends in \ goes on in the next one; a line that starts with // is text starting with /.
Ctrl-C stops the answer; without one, it ends the program.)";

constexpr const char* kExamples = R"(Examples:
  qwenvl chat
  qwenvl chat --system "Answer in French." --temperature 0.7
  printf '/image photo.jpg\nWhat is this?\nAnd its colour?\n' | qwenvl chat --greedy
)";

class Chat {
 public:
  Chat(Engine engine, const ChatOptions& options)
      : engine_(std::move(engine)), options_(options), is_interactive_(is_input_terminal()) {
    conversation_.system = options.system;
  }

  int run() {
    if (is_interactive_)
      note("Type a message; /image PATH adds a picture, /help lists the commands.");
    while (std::optional<std::string> line = read_turn()) {
      try {
        if (line->rfind("//", 0) == 0) {
          answer(line->substr(1));
        } else if (line->rfind('/', 0) == 0) {
          if (!obey(*line)) break;
        } else if (!line->empty()) {
          answer(*line);
        }
      } catch (const Error& error) {
        // A person can try again; a script must not go on as if nothing had happened.
        if (!is_interactive_ || error.kind() == ErrorKind::internal) throw;
        note(fmt::format("qwenvl: {}", error.what()));
      }
    }
    return kExitOk;
  }

 private:
  std::optional<std::string> read_turn() {
    std::string turn;
    if (is_interactive_) std::fputs("> ", stderr);
    for (std::string line; std::getline(std::cin, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.empty() || line.back() != '\\') return turn + line;
      line.back() = '\n';
      turn += line;
      if (is_interactive_) std::fputs(". ", stderr);
    }
    if (turn.empty()) return std::nullopt;
    return turn;
  }

  // False: quit.
  bool obey(const std::string& line) {
    const auto space = line.find(' ');
    const std::string command = line.substr(0, space);
    const std::string argument =
        space == std::string::npos ? "" : line.substr(line.find_first_not_of(' ', space));
    const bool takes_argument =
        command == "/image" || command == "/clip" || command == "/save" || command == "/load";
    if (takes_argument && argument.empty()) {
      throw Error(ErrorKind::bad_request,
                  fmt::format("{} needs an argument; /help explains", command));
    }
    if (command == "/quit") return false;
    if (command == "/help") {
      note(kCommands);
    } else if (command == "/image") {
      add_picture(argument);
    } else if (command == "/clip") {
      add_clip(argument);
    } else if (command == "/system") {
      conversation_.system = argument;
    } else if (command == "/clear") {
      conversation_.messages.clear();
      pending_.clear();
      known_ = {};
    } else if (command == "/save") {
      save_conversation(conversation_, argument);
      note(fmt::format("{}: {} messages written", printable(argument),
                       conversation_.messages.size()));
    } else if (command == "/load") {
      conversation_ = load_conversation(argument, options_.media);
      pending_.clear();
      known_ = {};
      note(fmt::format("{}: {} messages read", printable(argument), conversation_.messages.size()));
    } else {
      throw Error(ErrorKind::bad_request,
                  fmt::format("unknown command {}; /help lists them (// starts a message with /)",
                              printable(command)));
    }
    return true;
  }

  void add_picture(const std::string& source) {
    if (source == "-") {
      throw Error(ErrorKind::bad_request,
                  "/image -: standard input is the conversation; name a file or a URL");
    }
    // "photo" without an extension would be text elsewhere; here only a picture can be meant.
    const Item::Kind kind = classify(source);
    if (kind == Item::Kind::text) {
      throw Error(ErrorKind::bad_file, fmt::format("{}: no such picture", printable(source)));
    }
    if (kind == Item::Kind::clip) {
      throw Error(ErrorKind::bad_request,
                  fmt::format("{} is a video or a folder: /clip adds it", printable(source)));
    }
    pending_.push_back(Part::picture(source, options_.media.pictures));
  }

  void add_clip(const std::string& source) {
    const Item::Kind kind = source == "-" ? Item::Kind::text : classify(source);
    if (kind != Item::Kind::clip) {
      const char* what = kind == Item::Kind::picture ? "is neither a video nor a folder"
                                                     : "no such video or folder";
      throw Error(ErrorKind::bad_request,
                  fmt::format("{}: {}; /clip takes a video or a folder of pictures",
                              printable(source), what));
    }
    pending_.push_back(make_clip(source, options_.media));
  }

  void answer(const std::string& text) {
    std::vector<Part> parts = pending_;
    parts.push_back(Part::words(text));
    Conversation attempt = conversation_;  // a turn that fails leaves no trace
    attempt.messages.push_back({"user", std::move(parts)});

    Request request;
    request.messages = attempt.with_system();
    request.sampling = options_.sampling.resolved();
    pending_.clear();  // what cannot be read would fail every later turn, too

    Progress progress;
    progress.show("reading");
    EventStream stream = engine_.submit(request);
    const Reply reply = read_reply(stream, progress, write_output, known_);
    write_output("\n");
    if (options_.shows_stats) report_stats(reply.answer);
    if (reply.is_cancelled()) {
      note("(stopped; what was shown stays part of the conversation)");
      if (!is_interactive_) throw Error(ErrorKind::cancelled, "stopped by Ctrl-C");
    }
    known_ = {reply.answer.pictures.size(), reply.answer.clips.size()};
    attempt.messages.push_back({"assistant", {Part::words(reply.answer.choices.at(0).text)}});
    conversation_ = std::move(attempt);
  }

  Engine engine_;
  const ChatOptions& options_;
  const bool is_interactive_;
  Conversation conversation_;
  std::vector<Part> pending_;  // pictures and clips of the next message
  KnownMedia known_;           // sizes reported in earlier turns
};

int run_chat(const ChatOptions& options) {
  if (options.sampling.sampling.num_return_sequences.value_or(1) > 1) {
    throw Error(ErrorKind::bad_request,
                "--n: a conversation goes on with one answer; use 'qwenvl ask'");
  }
  EngineOptions engine_options = options.engine;
  engine_options.model = chosen_model(options.engine.model);
  std::optional<Engine> engine;
  {
    Progress progress;
    progress.show("loading " + printable(engine_options.model));
    engine_options.on_load = percentage(progress);
    engine.emplace(Engine::open(engine_options));
  }
  return Chat(std::move(*engine), options).run();
}

}  // namespace

void add_chat(CLI::App& program, Chosen& chosen) {
  CLI::App& command = *program.add_subcommand(
      "chat", "Talk in several turns; pictures and clips may join on the way");
  command.footer(std::string(kExamples) + "\n" + kCommands);
  auto options = std::make_shared<ChatOptions>();
  command.add_option("--system", options->system, "System message (unset: the model's own)")
      ->type_name("TEXT");
  command.add_flag("--stats", options->shows_stats, "Timings of each turn, on standard error");
  add_engine_options(command, options->engine);
  add_media_options(command, options->media);
  add_sampling_options(command, options->sampling);
  command.callback([options, &chosen] { chosen.run = [options] { return run_chat(*options); }; });
}

}  // namespace qwenvl::cli
