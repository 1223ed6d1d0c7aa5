// A stream of events → the whole reply, with the text shown as it comes.
#include "reply.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace qwenvl::cli {

namespace {

// "reading the prompt: 40 %"
std::string describe(const Event& event) {
  const char* what = event.stage == "encode" ? "looking at the pictures" : "reading the prompt";
  return fmt::format("{}: {} %", what, event.total > 0 ? 100 * event.done / event.total : 0);
}

}  // namespace

bool Reply::is_cancelled() const {
  return std::any_of(answer.choices.begin(), answer.choices.end(), [](const Choice& choice) {
    return choice.finish_reason == FinishReason::cancelled;
  });
}

Reply read_reply(EventStream& stream, Progress& progress,
                 const std::function<void(std::string_view)>& show_text, KnownMedia known) {
  const InterruptScope interrupt(stream);
  Reply reply;
  Answer& answer = reply.answer;
  progress.show("laying out the prompt");
  for (Event event; stream.next(event);) {
    if (event.kind == Event::Kind::prepared) {
      answer.pictures = event.pictures;
      answer.clips = event.clips;
      answer.usage = event.usage;
      progress.clear();
      report_media(answer, known);
      progress.show(fmt::format("computing {} tokens", answer.usage.prompt_tokens));
      continue;
    }
    if (event.kind == Event::Kind::progress) {
      progress.show(describe(event));
      continue;
    }
    const auto index = static_cast<std::size_t>(event.choice);
    if (answer.choices.size() <= index) answer.choices.resize(index + 1);
    Choice& choice = answer.choices[index];
    choice.text += event.text;
    std::move(event.tokens.begin(), event.tokens.end(), std::back_inserter(choice.tokens));
    if (show_text && !event.text.empty()) {
      progress.clear();
      show_text(event.text);
    }
    if (event.kind != Event::Kind::finished) continue;
    choice.finish_reason = event.finish_reason;
    choice.matched_stop = event.matched_stop;
    choice.score = event.score;
    answer.usage = event.usage;
    answer.timings = event.timings;
    answer.seed = event.seed;
    if (event.choice == 0) reply.first_logits = std::move(event.first_logits);
  }
  progress.clear();
  return reply;
}

namespace {

// "12 pairs of frames (4 motion, 8 text), 308x308 to 448x448, of at most 4096 tokens"; "" where
// they are spaced evenly.
std::string moments_of(const ClipInfo& clip) {
  std::map<Moment, int> counts;
  for (const PlannedPair& pair : clip.pairs) ++counts[pair.why];
  if (counts.empty() || (counts.size() == 1 && counts.begin()->first == Moment::even)) return "";
  std::vector<std::string> words;
  for (const auto& [moment, n] : counts) words.push_back(fmt::format("{} {}", n, name_of(moment)));
  const auto [small, large] = std::minmax_element(
      clip.pairs.begin(), clip.pairs.end(),
      [](const PlannedPair& a, const PlannedPair& b) { return a.n_tokens < b.n_tokens; });
  const auto size = [](const PlannedPair& p) { return fmt::format("{}x{}", p.width, p.height); };
  return fmt::format("{} pairs of frames ({}), {}{}, of at most {} tokens", clip.pairs.size(),
                     fmt::join(words, ", "), size(*small),
                     size(*small) == size(*large) ? "" : " to " + size(*large), clip.max_tokens);
}

}  // namespace

void report_media(const Answer& answer, KnownMedia known) {
  for (std::size_t i = known.n_pictures; i < answer.pictures.size(); ++i) {
    const PictureInfo& p = answer.pictures[i];
    note(fmt::format("{}: {}x{}, seen as {}x{} ({} tokens)", printable(p.name), p.original_width,
                     p.original_height, p.processed_width, p.processed_height, p.n_tokens));
  }
  for (std::size_t i = known.n_clips; i < answer.clips.size(); ++i) {
    const ClipInfo& c = answer.clips[i];
    note(fmt::format("{}: {} frames of {}x{}, {:g} a second: {:g} s, seen as {}x{} ({} tokens)",
                     printable(c.name), c.n_frames, c.original_width, c.original_height, c.fps,
                     c.seconds, c.processed_width, c.processed_height, c.n_tokens));
    if (const std::string why = moments_of(c); !why.empty())
      note(fmt::format("{}: {}", printable(c.name), why));
    for (const std::string& warning : c.warnings)
      note(fmt::format("{}: {}", printable(c.name), printable(warning)));
  }
}

void report_stats(const Answer& answer) {
  const Timings& t = answer.timings;
  const Usage& usage = answer.usage;
  const auto per_second = [](int n, double ms) { return ms > 0 ? 1000.0 * n / ms : 0.0; };
  note(fmt::format("load        {:10.1f} ms", t.load_ms));
  note(fmt::format("preprocess  {:10.1f} ms", t.preprocess_ms));
  note(
      fmt::format("encode      {:10.1f} ms  {} picture tokens", t.encode_ms, usage.picture_tokens));
  note(fmt::format("prefill     {:10.1f} ms  {} tokens, {:.1f} tokens/s", t.prefill_ms,
                   usage.prompt_tokens, per_second(usage.prompt_tokens, t.prefill_ms)));
  // The first token comes out of the prefill.
  note(fmt::format("decode      {:10.1f} ms  {} tokens, {:.1f} tokens/s", t.decode_ms,
                   usage.completion_tokens,
                   per_second(std::max(0, usage.completion_tokens - 1), t.decode_ms)));
  note(fmt::format("seed        {}", answer.seed));
}

}  // namespace qwenvl::cli
