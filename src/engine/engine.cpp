// The public Engine: owns the model, the back end, the caches and the inference thread.
// Before: apps/ fill Requests.   After: scheduler.cpp runs Jobs.
#include "qwenvl/engine.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <random>

#include "checkpoint/checkpoint.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/settings.h"
#include "engine/engine_options.h"
#include "engine/guard.h"
#include "engine/inputs/media_inputs.h"
#include "engine/machine.h"
#include "engine/memory_plan.h"
#include "engine/open_checkpoint.h"
#include "engine/scheduling/scheduler.h"
#include "text/tokenizer/unicode.h"

namespace qwenvl {
namespace {

constexpr int kDefaultNewTokens = 1024;

// Pages of the key/value cache: what is asked for, or half of what there is, in the room there is.
std::int64_t max_pages(const EngineOptions& o, std::int64_t page_bytes, std::int64_t room_bytes) {
  const std::uint64_t page = static_cast<std::uint64_t>(page_bytes);
  const std::uint64_t room = static_cast<std::uint64_t>(std::max<std::int64_t>(room_bytes, 0));
  if (o.kv_cache_bytes > room) {
    fail(
        ErrorKind::out_of_memory,
        "kv_cache_bytes: found {}, expected at most the {} that max_memory_bytes leaves beside the "
        "model",
        o.kv_cache_bytes, room);
  }
  const std::uint64_t bytes = o.kv_cache_bytes
                                  ? o.kv_cache_bytes
                                  : std::min<std::uint64_t>(available_memory_bytes() / 2, room);
  if (bytes < page) {
    fail(o.kv_cache_bytes ? ErrorKind::bad_request : ErrorKind::out_of_memory,
         "kv_cache_bytes: {} {}, expected at least {}, which hold {} tokens",
         o.kv_cache_bytes ? "found" : "what the memory available leaves is", bytes, page,
         kKvPageTokens);
  }
  return static_cast<std::int64_t>(bytes / page);
}

SchedulerOptions scheduler_options(const EngineOptions& o, const ModelInfo& info,
                                   const Checkpoint& checkpoint, const MemoryPlanner& planner) {
  check_step_sizes(o);
  SchedulerOptions s;
  s.kv = kv_layout(info.kv, o.kv_cache_type);
  s.room_bytes = planner.room();
  s.max_pages = max_pages(o, s.kv.page_bytes(), s.room_bytes);
  s.max_batch_sequences = o.max_batch_sequences;
  s.prefill_chunk_tokens = o.prefill_chunk_tokens;
  s.vision_cache_bytes = o.vision_cache_bytes;
  if (o.memory == MemoryMode::low) {
    s.before_encode = [&checkpoint] {
      checkpoint.release_pages("model.");
      checkpoint.release_pages("lm_head.");
    };
    s.after_encode = [&checkpoint] { checkpoint.release_pages("visual."); };
  }
  return s;
}

std::uint64_t fresh_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

}  // namespace

struct Engine::Impl {
  explicit Impl(const EngineOptions& o)
      : options(o),
        preprocess(preprocess_options(o)),
        checkpoint(open_checkpoint(o)),
        tokenizer(open_tokenizer(o.model)),
        model(make_model(checkpoint, compute_type(o.compute))),
        defaults(
            parse_generation_config(checkpoint.text_of("generation_config.json"),
                                    (checkpoint.folder() / "generation_config.json").string())),
        max_context(context_limit(o, model->info())),
        media(*model, o, max_context),
        backend(make_backend(o.backend, thread_count(o.n_threads))),
        planner(options, checkpoint, *model, *backend),
        scheduler(*model, tokenizer, *backend,
                  scheduler_options(o, model->info(), checkpoint, planner)) {
    load_ms = watch.milliseconds();
    if (is_logged(LogLevel::info)) {
      const std::int64_t n_tokens = std::min(PlannedRequest().n_tokens, max_context);
      log(LogLevel::info, "memory for one request:\n{}", table_of(planner.plan({n_tokens})));
    }
  }

  // Here the place can still be named: later all parts are one text.
  static void check_utf8(const std::string& text, const std::string& role, std::size_t number) {
    const std::size_t at = find_invalid_utf8(text);
    if (at == std::string::npos) return;
    fail(ErrorKind::bad_request,
         "part {} of a message of {}: byte {} (0x{:02x}) is not UTF-8; convert the text to UTF-8",
         number, quoted(role), at, static_cast<unsigned char>(text[at]));
  }

  static TemplatePart::Kind template_kind(Part::Kind kind) {
    switch (kind) {
      case Part::Kind::text: return TemplatePart::Kind::text;
      case Part::Kind::picture: return TemplatePart::Kind::image;
      case Part::Kind::clip: return TemplatePart::Kind::video;
    }
    fail(ErrorKind::bad_request, "part: of no known kind");
  }

  Conversation conversation(const Request& request) const {
    Conversation out;
    if (request.messages.empty())
      fail(ErrorKind::bad_request, "request: no messages, expected at least one");
    for (const Message& message : request.messages) {
      TemplateMessage& to = out.messages.emplace_back();
      to.role = message.role;
      for (const Part& part : message.parts) {
        check_utf8(part.text, message.role, to.parts.size() + 1);
        to.parts.push_back({template_kind(part.kind), part.text});
      }
    }
    out.options.add_vision_id = request.add_vision_id;
    out.options.tools_json = request.tools_json;
    out.parse_special_tokens = request.allow_special_tokens;
    return out;
  }

  // What is left of the context, and of the key/value cache, for clips that ask for no budget:
  // beside the text, `n_taken` tokens of other pictures and clips, and the answer.
  std::int64_t room_for_clips(const Conversation& conversation, std::int64_t n_taken,
                              const GenerationSettings& settings) const {
    const auto untrusted =
        conversation.parse_special_tokens ? SpecialTokens::parse : SpecialTokens::as_text;
    const auto pieces = render_chat(conversation.messages, conversation.options);
    const auto n_text = std::ssize(encode_chat(tokenizer, pieces, untrusted));
    const std::int64_t n_sequences = std::max(settings.num_beams, settings.num_return_sequences);
    const std::int64_t n_new = settings.max_new_tokens.value_or(
        std::min<std::int64_t>(kDefaultNewTokens, max_context / 4));
    const std::int64_t in_cache =
        scheduler.max_tokens() - n_sequences * (n_new + kKvPageTokens) - kKvPageTokens;
    const std::int64_t room = std::min(max_context - n_new, in_cache) - n_text - n_taken;
    if (room > 0) return room;
    fail(ErrorKind::bad_request,
         "clip: no room for it beside {} tokens of text, {} of other pictures and clips and {} new "
         "ones, in a context of {} and a key/value cache of {}: shorten the text, lower "
         "max_new_tokens, or give max_tokens",
         n_text, n_taken, n_new, max_context, scheduler.max_tokens());
  }

  // Pictures and clips in order. What clips without a budget get is known when all others are.
  std::vector<VisionInput> prepare_media(const Request& request, const Conversation& conversation,
                                         const GenerationSettings& settings,
                                         Event& prepared) const {
    std::vector<std::vector<VisionInput>> parts;
    std::vector<std::pair<const Clip*, std::size_t>> waiting;  // and their places in `parts`
    std::vector<std::size_t> infos;                            // of `waiting`, in prepared.clips
    std::int64_t n_taken = 0;
    for (const Message& message : request.messages) {
      for (const Part& part : message.parts) {
        if (part.kind == Part::Kind::text) continue;
        std::vector<VisionInput>& inputs = parts.emplace_back();
        if (part.kind == Part::Kind::picture) {
          inputs.push_back(media.prepare(part.image, prepared.pictures.emplace_back()));
        } else if (prepared.clips.emplace_back(); has_own_budget(part.video)) {
          inputs = media.prepare(part.video, 0, prepared.clips.back());
        } else {
          waiting.emplace_back(&part.video, parts.size() - 1);
          infos.push_back(prepared.clips.size() - 1);
        }
        for (const VisionInput& input : inputs) n_taken += input.n_tokens;
      }
    }
    if (!waiting.empty()) {
      const std::int64_t room = room_for_clips(conversation, n_taken, settings) /
                                static_cast<std::int64_t>(waiting.size());
      for (std::size_t i = 0; i < waiting.size(); ++i) {
        parts[waiting[i].second] = media.prepare(*waiting[i].first, room, prepared.clips[infos[i]]);
      }
    }
    std::vector<VisionInput> all;
    for (auto& inputs : parts) std::move(inputs.begin(), inputs.end(), std::back_inserter(all));
    return all;
  }

  static bool has_own_budget(const Clip& clip) {
    return !clip.options.dynamic || clip.options.max_tokens;
  }

  VideoPlan plan(const Clip& clip) const {
    Request request;
    Part part;
    part.kind = Part::Kind::clip;
    request.messages = {{"user", {part}}};
    const std::int64_t room =
        has_own_budget(clip) ? 0 : room_for_clips(conversation(request), 0, merged(defaults, {}));
    return media.plan(clip, room);
  }

  // Fills the pictures and clips of `prepared`.
  std::unique_ptr<Job> prepare(const Request& request, Event& prepared) const {
    const Stopwatch watch;
    auto job = std::make_unique<Job>();
    job->options.settings = merged(defaults, request.sampling);
    job->options.n_logprobs = request.n_logprobs;
    job->options.seed = request.sampling.seed.value_or(fresh_seed());
    job->stop = request.stop;
    job->want_first_logits = request.want_first_logits;
    check(request, job->options.settings);

    Conversation conversation = this->conversation(request);
    job->media = prepare_media(request, conversation, job->options.settings, prepared);
    for (const VisionInput& input : job->media)
      job->usage.picture_tokens += static_cast<int>(input.n_tokens);
    for (const VisionInput& input : job->media) {
      conversation.media.push_back(&input);
      job->pixel_bytes += pixel_bytes(input);
    }
    if (options.max_memory_bytes > 0) {
      const GenerationSettings& settings = job->options.settings;
      job->extra_bytes = planner.request_bytes(
          job->media, std::max(settings.num_beams, settings.num_return_sequences));
    }
    job->prompt = model->lay_out(conversation, tokenizer, preprocess);
    job->usage.prompt_tokens = static_cast<int>(job->prompt.ids.size());
    job->options.max_new_tokens = new_tokens(job->options.settings, job->usage);
    job->timings.load_ms = load_ms;
    job->timings.preprocess_ms = watch.milliseconds();
    return job;
  }

  void check(const Request& request, const GenerationSettings& settings) const {
    for (const std::string& stop : request.stop) {
      if (stop.empty())
        fail(ErrorKind::bad_request, "stop: found an empty string, expected text to stop at");
    }
    if (request.n_logprobs < -1 || request.n_logprobs > model->info().vocabulary) {
      fail(ErrorKind::bad_request, "logprobs: found {}, expected 0 to {}", request.n_logprobs,
           model->info().vocabulary);
    }
    if (request.n_logprobs >= 0 && settings.num_beams > 1) {
      fail(ErrorKind::unsupported, "logprobs: not available with beams, expected num_beams 1");
    }
    for (const std::int32_t id : settings.eos_token_ids) {
      if (id < 0 || id >= model->info().vocabulary) {
        fail(ErrorKind::bad_request,
             "eos_token_ids: found {}, expected ids of the vocabulary, 0 to {}", id,
             model->info().vocabulary - 1);
      }
    }
  }

  std::int64_t new_tokens(const GenerationSettings& settings, const Usage& usage) const {
    const std::int64_t room = max_context - usage.prompt_tokens;
    const std::int64_t wanted = settings.max_new_tokens.value_or(1);
    if (room < wanted) {
      fail(ErrorKind::bad_request,
           "prompt: {} tokens ({} of them pictures and clips) and {} new ones, expected at most {} "
           "in all: make pictures smaller (max_pixels), shorten the text or lower max_new_tokens",
           usage.prompt_tokens, usage.picture_tokens, wanted, max_context);
    }
    if (settings.max_new_tokens) return wanted;
    if (settings.max_length && *settings.max_length <= usage.prompt_tokens) {
      fail(ErrorKind::bad_request,
           "prompt: {} tokens, expected fewer than generation_config.json's max_length {}: ask for "
           "max_new_tokens, which goes before it",
           usage.prompt_tokens, *settings.max_length);
    }
    const std::int64_t most = std::min<std::int64_t>(
        room, settings.max_length ? *settings.max_length - usage.prompt_tokens : kDefaultNewTokens);
    if (settings.min_new_tokens > most) {
      fail(
          ErrorKind::bad_request,
          "min_new_tokens: found {}, expected at most {}: ask for more with max_new_tokens, as far "
          "as the context has room",
          settings.min_new_tokens, most);
    }
    return most;
  }

  const Stopwatch watch;
  const EngineOptions options;
  const PreprocessOptions preprocess;
  const Checkpoint checkpoint;
  const Tokenizer tokenizer;
  const std::unique_ptr<Model> model;
  const GenerationSettings defaults;
  const std::int64_t max_context;
  const MediaInputs media;
  const std::unique_ptr<Backend> backend;
  const MemoryPlanner planner;
  Scheduler scheduler;  // last: its thread uses all of the above
  double load_ms = 0;
};

Engine Engine::open(const EngineOptions& options) {
  return guarded([&] {
    check_settings();
    return Engine(std::make_unique<Impl>(options));
  });
}
Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

EventStream Engine::submit(const Request& request) {
  return guarded([&] {
    Event prepared;
    prepared.kind = Event::Kind::prepared;
    std::unique_ptr<Job> job = impl_->prepare(request, prepared);
    EventStream stream;
    stream.queue_ = std::make_shared<EventQueue>();
    job->stream = stream.queue_;
    prepared.usage = job->usage;
    prepared.seed = job->options.seed;
    stream.queue_->push(std::move(prepared));
    impl_->scheduler.submit(std::move(job));
    return stream;
  });
}

std::vector<std::int32_t> Engine::tokenize(const std::string& text, bool parse_special) const {
  const SpecialTokens special = parse_special ? SpecialTokens::parse : SpecialTokens::as_text;
  return guarded([&] { return impl_->tokenizer.encode(text, special); });
}

std::string Engine::detokenize(const std::vector<std::int32_t>& ids, bool skip_special) const {
  return guarded([&] { return impl_->tokenizer.decode(ids, skip_special); });
}

std::string Engine::render(const Request& request) const {
  return guarded([&] {
    const Conversation conversation = impl_->conversation(request);
    return concatenated(render_chat(conversation.messages, conversation.options));
  });
}

VideoPlan Engine::plan(const Clip& clip) const {
  return guarded([&] { return impl_->plan(clip); });
}

std::vector<std::int32_t> Engine::prompt_ids(const Request& request) const {
  Event prepared;
  return guarded([&] { return std::move(impl_->prepare(request, prepared)->prompt.ids); });
}

}  // namespace qwenvl
