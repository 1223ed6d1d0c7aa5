// What is measured. Whatever an engine's user can see is measured through the public Engine; only
// the tower alone and steps of several known rows, which no request takes by itself, are run on the
// model's parts.
#include "engine/bench/bench_stages.h"

#include <algorithm>

#include "core/clock.h"
#include "engine/bench/probe_pictures.h"
#include "engine/bench/probe_requests.h"

namespace qwenvl {
namespace {

constexpr int kTextTokens = 32;  // beside the picture of ttft and batch
constexpr int kVerifyRows = 4;
constexpr int kVerifyRepeats = 5;  // the least of these counts: one step is short

struct PictureSize {
  int width, height;
};
constexpr PictureSize kSmall{512, 512}, kMedium{1024, 1024}, kFullHd{1920, 1080};

std::string size_text(const VisionInput& input) {
  return fmt::format("{} x {} after resizing, {} tokens", input.width(), input.height(),
                     input.n_tokens);
}

BenchSample load(BenchModel& model, const BenchOptions&) {
  BenchSample sample;
  sample.description = "opening the checkpoint until requests are taken, files in the page cache";
  model.engine();  // the first time reads the files
  sample.milliseconds = model.open_engine_ms();
  return sample;
}

template <const PictureSize& size>
BenchSample preprocess(BenchModel& model, const BenchOptions&) {
  const Picture picture = synthetic_picture(size.width, size.height, 1);
  const VisionInput input = model.prepare(picture);
  const Request request = picture_request(picture, "", 1);
  BenchSample sample;
  sample.description = fmt::format("bitmap of {} x {} to pixels and prompt: {}", size.width,
                                   size.height, size_text(input));
  const Stopwatch watch;
  model.engine().prompt_ids(request);
  sample.milliseconds = watch.milliseconds();
  BenchPhase phase;
  phase.bytes = 3.0 * size.width * size.height + 3.0 * input.width() * input.height();
  sample.phases = {phase};
  sample.n_units = size.width * size.height * 1e-6;
  return sample;
}

template <const PictureSize& size>
BenchSample encode(BenchModel& model, const BenchOptions&) {
  const VisionInput input = model.prepare(synthetic_picture(size.width, size.height, 1));
  BenchSample sample;
  sample.description = "vision tower, " + size_text(input);
  sample.milliseconds = model.encode_ms(input);
  sample.phases = {model.encode_phase(input.grid)};
  sample.n_units = static_cast<double>(input.n_tokens);
  return sample;
}

// The prompt in the chunks the engine reads it in; only the last row has logits.
std::vector<BenchPhase> prefill_phases(const BenchModel& model, std::int64_t n_tokens) {
  std::vector<BenchPhase> phases;
  for (std::int64_t done = 0; done < n_tokens;) {
    const std::int64_t n =
        std::min<std::int64_t>(model.options().prefill_chunk_tokens, n_tokens - done);
    phases.push_back(model.forward_phase(n, done, done + n == n_tokens ? 1 : 0));
    done += n;
  }
  return phases;
}

BenchSample prefill(BenchModel& model, const BenchOptions& options) {
  const Finished end =
      finish(model.engine(), text_request(model.engine(), options.n_prompt_tokens, 1));
  BenchSample sample;
  sample.description = fmt::format("{} tokens of text", end.usage.prompt_tokens);
  sample.milliseconds = end.timings.prefill_ms;
  sample.phases = prefill_phases(model, end.usage.prompt_tokens);
  sample.n_units = end.usage.prompt_tokens;
  sample.logits_hash = hash_of(end.first_logits);
  return sample;
}

BenchSample first_token(BenchModel& model, const BenchOptions&) {
  const Picture picture = synthetic_picture(kSmall.width, kSmall.height, 2);
  const VisionInput input = model.prepare(picture);
  const std::string words = words_of(model.engine(), kTextTokens);
  const Stopwatch watch;
  const Finished end = finish(model.engine(), picture_request(picture, words, 1));
  BenchSample sample;
  sample.milliseconds = watch.milliseconds();
  sample.description = fmt::format(
      "from the picture's bytes to the first token: {} prompt tokens, "
      "{} of them the picture",
      end.usage.prompt_tokens, end.usage.picture_tokens);
  sample.phases = prefill_phases(model, end.usage.prompt_tokens);
  sample.phases.push_back(model.encode_phase(input.grid));
  sample.n_units = 1;
  sample.more = {{"preprocess ms", end.timings.preprocess_ms},
                 {"encode ms", end.timings.encode_ms},
                 {"prefill ms", end.timings.prefill_ms}};
  sample.logits_hash = hash_of(end.first_logits);
  return sample;
}

BenchSample decode(BenchModel& model, const BenchOptions& options) {
  const Finished end = finish(model.engine(), text_request(model.engine(), options.n_prompt_tokens,
                                                           options.n_answer_tokens));
  const int n_steps = end.usage.completion_tokens - 1;  // prefill gives the first token
  BenchSample sample;
  sample.description = fmt::format("one token after {} others; {} in a row, greedy, no end",
                                   end.usage.prompt_tokens, n_steps);
  sample.milliseconds = end.timings.decode_ms / n_steps;
  sample.phases = {model.forward_phase(1, end.usage.prompt_tokens + n_steps / 2, 1)};
  sample.n_units = 1;
  return sample;
}

BenchSample verify(BenchModel& model, const BenchOptions& options) {
  double one = 0, four = 0;
  for (int i = 0; i < kVerifyRepeats; ++i) {
    const double one_ms = model.step_ms(options.n_prompt_tokens, 1);
    const double four_ms = model.step_ms(options.n_prompt_tokens, kVerifyRows);
    one = i == 0 ? one_ms : std::min(one, one_ms);
    four = i == 0 ? four_ms : std::min(four, four_ms);
  }
  BenchSample sample;
  sample.description = fmt::format("{} known tokens in one step after {} others, logits of all",
                                   kVerifyRows, options.n_prompt_tokens);
  sample.milliseconds = four;
  sample.phases = {model.forward_phase(kVerifyRows, options.n_prompt_tokens, kVerifyRows)};
  sample.n_units = kVerifyRows;
  sample.more = {{"one token ms", one}, {"times one token", four / one}};
  return sample;
}

BenchSample batch(BenchModel& model, const BenchOptions& options) {
  const std::string words = words_of(model.engine(), kTextTokens);
  std::vector<Request> requests;
  for (int i = 0; i < options.n_batch; ++i) {
    const Picture picture =
        synthetic_picture(kSmall.width, kSmall.height, static_cast<std::uint32_t>(10 + i));
    requests.push_back(picture_request(picture, words, options.n_answer_tokens));
  }
  const VisionInput input = model.prepare(requests[0].messages[0].parts[0].image);
  const Stopwatch watch;
  std::vector<EventStream> streams;
  for (const Request& request : requests) streams.push_back(model.engine().submit(request));
  int n_prompt = 0, n_answered = 0;
  for (EventStream& stream : streams) {
    const Finished end = finish(std::move(stream));
    n_prompt = end.usage.prompt_tokens;
    n_answered += end.usage.completion_tokens;
  }
  BenchSample sample;
  sample.milliseconds = watch.milliseconds();
  sample.description = fmt::format(
      "{} pictures of 512 x 512 at once, {} prompt and {} answer "
      "tokens each",
      options.n_batch, n_prompt, options.n_answer_tokens);
  BenchPhase tower = model.encode_phase(input.grid);
  tower.repeats = options.n_batch;
  sample.phases = {tower};
  for (BenchPhase phase : prefill_phases(model, n_prompt)) {
    phase.repeats = options.n_batch;
    sample.phases.push_back(phase);
  }
  // A step of all answers reads the weights once and every answer's own keys and values.
  const std::int64_t past = n_prompt + options.n_answer_tokens / 2;
  BenchPhase step = model.forward_phase(1, past, 1);
  step.bytes += static_cast<double>(model.kv_bytes(past)) * (options.n_batch - 1);
  for (double* ops : {&step.int8_ops, &step.bf16_ops, &step.f32_ops}) *ops *= options.n_batch;
  step.repeats = options.n_answer_tokens - 1;
  sample.phases.push_back(step);
  sample.n_units = n_answered;
  sample.more = {{"pictures a minute", options.n_batch / sample.milliseconds * 60e3}};
  return sample;
}

}  // namespace

const std::vector<BenchStageKind>& bench_stage_kinds() {
  static const std::vector<BenchStageKind> kinds = {
      {"load", "", load},
      {"preprocess-512", "megapixels/s", preprocess<kSmall>},
      {"preprocess-1024", "megapixels/s", preprocess<kMedium>},
      {"preprocess-1080p", "megapixels/s", preprocess<kFullHd>},
      {"encode-512", "picture tokens/s", encode<kSmall>},
      {"encode-1024", "picture tokens/s", encode<kMedium>},
      {"encode-1080p", "picture tokens/s", encode<kFullHd>},
      {"prefill", "tokens/s", prefill},
      {"ttft-512", "", first_token},
      {"decode", "tokens/s", decode},
      {"verify-4", "tokens/s", verify},
      {"batch", "answer tokens/s", batch},
  };
  return kinds;
}

}  // namespace qwenvl
