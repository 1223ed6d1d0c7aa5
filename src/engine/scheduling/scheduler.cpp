// The life of a job: admitted, encoded, ended. What runs in one step is in scheduler_step.cpp.
// Before: engine.cpp prepares jobs.   After: events on each job's stream.
#include "engine/scheduling/scheduler.h"

#include <algorithm>

#include "core/log.h"
#include "core/settings.h"
#include "engine/guard.h"
#include "engine/machine.h"
#include "engine/scheduling/trace_files.h"
#include "engine/scheduling/vision_batch.h"

namespace qwenvl {
namespace {

std::int64_t pages_of(std::int64_t n_tokens) {
  return (n_tokens + kKvPageTokens - 1) / kKvPageTokens;
}

double megabytes(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

Trace trace_from_settings() {
  const auto folder = setting("QWENVL_TRACE");
  return folder ? trace_to_folder(*folder) : Trace();
}

}  // namespace

Scheduler::Scheduler(const Model& model, const Tokenizer& tokenizer, Backend& backend,
                     const SchedulerOptions& options)
    : model_(model),
      tokenizer_(tokenizer),
      backend_(backend),
      options_(options),
      trace_(trace_from_settings()),
      pool_(options.kv, options.max_pages),
      room_(options.room_bytes),
      vision_cache_(options.vision_cache_bytes),
      thread_([this] { loop(); }) {}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

// What its sequences can hold at most: the prompt and all new tokens but the last, which is never
// run. Sequences share the prompt's full pages; each owns the page it diverges in and all that
// follow. A page is copied before it is written only while others still hold it, and beams that are
// replaced let go of theirs first, so no moment needs more.
std::int64_t Scheduler::pages_for(const Job& job) const {
  const GenerationSettings& s = job.options.settings;
  const std::int64_t n_prompt = static_cast<std::int64_t>(job.prompt.ids.size());
  const std::int64_t n_sequences = std::max(s.num_beams, s.num_return_sequences);
  const std::int64_t own = pages_of(n_prompt % kKvPageTokens + job.options.max_new_tokens - 1);
  const std::int64_t pages = n_prompt / kKvPageTokens + n_sequences * own;
  if (pages > options_.max_pages) {
    const std::int64_t page_bytes = pool_.layout().page_bytes();
    fail(ErrorKind::out_of_memory,
         "request: its key/value cache takes up to {:.2f} MB ({} prompt tokens, {} new, {} "
         "sequences), expected at most {:.2f} MB: lower max_new_tokens or the picture size, or "
         "raise kv_cache_bytes",
         megabytes(pages * page_bytes), n_prompt, job.options.max_new_tokens, n_sequences,
         megabytes(options_.max_pages * page_bytes));
  }
  return pages;
}

// Besides its pixels.
std::int64_t Scheduler::bytes_for(const Job& job) const {
  return job.n_pages_reserved * pool_.layout().page_bytes() + job.extra_bytes;
}

void Scheduler::submit(std::unique_ptr<Job> job) {
  job->n_pages_reserved = pages_for(*job);
  job->place = room_.enter(job->pixel_bytes, bytes_for(*job));
  const std::int64_t n_prompt = static_cast<std::int64_t>(job->prompt.ids.size());
  Sequence prompt{std::move(job->prompt.ids), n_prompt, job->prompt.next_position, KvCache(pool_),
                  Detokenizer(tokenizer_, job->stop)};
  job->decoding = make_decoding(std::move(prompt), job->options, tokenizer_);
  {
    const std::lock_guard lock(mutex_);
    incoming_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void Scheduler::loop() {
  while (true) {
    try {
      if (!turn()) return;
    } catch (...) {
      fail_all(current_error());
    }
  }
}

// False when the scheduler is being destroyed and nothing is left to end.
bool Scheduler::turn() {
  receive();
  drop_cancelled(waiting_);
  drop_cancelled(active_);
  admit();
  if (active_.empty()) {
    const std::lock_guard lock(mutex_);
    return !(is_stopping_ && incoming_.empty());
  }
  encode_next();
  step();
  remove_finished();
  return true;
}

// Takes over what was submitted; sleeps while there is nothing to do.
void Scheduler::receive() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] {
    return is_stopping_ || !incoming_.empty() || !waiting_.empty() || !active_.empty();
  });
  waiting_.splice(waiting_.end(), incoming_);
  if (!is_stopping_) return;
  for (const Jobs* jobs : {&waiting_, &active_}) {
    for (const auto& job : *jobs) job->stream->is_cancelled = true;
  }
}

// First come, first served: nobody overtakes a job that waits for pages.
void Scheduler::admit() {
  if (!waiting_.empty()) limit_vision_cache();  // pixels of those that wait are there already
  while (!waiting_.empty()) {
    Job& job = *waiting_.front();
    if (n_pages_reserved_ + job.n_pages_reserved > options_.max_pages) return;
    if (room_.left(bytes_reserved_ + bytes_for(job)) < 0) return;
    n_pages_reserved_ += job.n_pages_reserved;
    bytes_reserved_ += bytes_for(job);
    job.is_admitted = true;
    active_.splice(active_.end(), waiting_, waiting_.begin());
    limit_vision_cache();
  }
}

// It may have what nobody else needs.
void Scheduler::limit_vision_cache() {
  const std::int64_t left = std::max<std::int64_t>(room_.left(bytes_reserved_), 0);
  vision_cache_.limit(static_cast<std::size_t>(
      std::min<std::uint64_t>(options_.vision_cache_bytes, static_cast<std::uint64_t>(left))));
}

// One picture, or a few pairs of a clip, of the first job that waits for one: the others decode in
// between.
void Scheduler::encode_next() {
  for (auto& job : active_) {
    if (job->is_encoded()) continue;
    try {
      encode(*job);
    } catch (...) {
      workspace_.trim();
      backend_.forget_scratch();
      // What was read of the tower leaves as after a picture that is done.
      if (options_.after_encode) options_.after_encode();
      end_job(*job, current_error());
    }
    return;
  }
}

std::shared_ptr<const Features> Scheduler::known_features(const Job& job, const MediaKey& key) {
  const auto own = job.known.find(key);
  return own != job.known.end() ? own->second : vision_cache_.find(key);
}

void Scheduler::encode(Job& job) {
  Stopwatch watch;
  job.features.resize(job.media.size());
  VisionInput& input = job.media[job.n_encoded];
  auto& features = job.features[job.n_encoded];
  features.resize(static_cast<std::size_t>(input.grid.t));
  const auto n_at_once = static_cast<std::size_t>(batch_grid(input.grid).t);
  std::vector<std::int64_t> missing;
  std::vector<MediaKey> keys;
  for (std::size_t pair = 0; pair < features.size() && missing.size() < n_at_once; ++pair) {
    if (features[pair]) continue;
    const MediaKey key = key_of(input, static_cast<std::int64_t>(pair));
    features[pair] = known_features(job, key);
    if (features[pair]) {
      job.known[key] = features[pair];
    } else if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      missing.push_back(static_cast<std::int64_t>(pair));
      keys.push_back(key);
    } else {
      break;  // the same once more: it is known next time
    }
  }
  if (!missing.empty()) encode_pairs(job, missing, keys);
  if (std::all_of(features.begin(), features.end(), [](const auto& f) { return f; })) {
    input.frames = {};  // the pixels have done their work
    input.float_frames = {};
    ++job.n_encoded;
  }
  job.timings.encode_ms += watch.milliseconds();
}

// In one go, then pair by pair into memory of their own, so that each can be forgotten alone.
void Scheduler::encode_pairs(Job& job, std::span<const std::int64_t> pairs,
                             std::span<const MediaKey> keys) {
  const ModelInfo& info = model_.info();
  const VisionInput batch = take_pairs(job.media[job.n_encoded], pairs);
  const std::int64_t n_tokens = batch.n_tokens / batch.grid.t;
  const auto n_bytes =
      static_cast<std::size_t>(n_tokens * info.feature_width) * size_of(info.compute);
  std::vector<std::byte> rows(n_bytes * pairs.size());
  const Trace trace = encode_trace(job, batch.grid.t);
  if (options_.before_encode) options_.before_encode();
  model_.encode(backend_, workspace_, batch,
                Tensor(rows.data(), info.compute, {batch.n_tokens, info.feature_width}), &trace);
  if (options_.after_encode) options_.after_encode();
  workspace_.trim();
  backend_.forget_scratch();
  give_back_spare_memory();
  limit_vision_cache();
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    auto fresh = std::make_shared<Features>();
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(i * n_bytes);
    if (pairs.size() == 1)
      fresh->memory = std::move(rows);
    else
      fresh->memory.assign(begin, begin + static_cast<std::ptrdiff_t>(n_bytes));
    fresh->view = Tensor(fresh->memory.data(), info.compute, {n_tokens, info.feature_width});
    vision_cache_.insert(keys[i], fresh);
    job.known[keys[i]] = fresh;
    job.features[job.n_encoded][static_cast<std::size_t>(pairs[i])] = std::move(fresh);
  }
}

// Reports progress block by block, and stops at the next block when the reader has cancelled or the
// engine is being destroyed.
Trace Scheduler::encode_trace(const Job& job, std::int64_t n_pairs) {
  std::int64_t n_all = 0, n_done = 0;
  for (const VisionInput& input : job.media) n_all += input.grid.t;
  for (const auto& features : job.features)
    n_done += std::count_if(features.begin(), features.end(), [](const auto& f) { return f; });
  return [this, &job, n_all, n_done, n_pairs](const char* name, int layer, const Tensor& value) {
    if (trace_) trace_(name, layer, value);
    if (is_stopping_) job.stream->is_cancelled = true;
    if (job.stream->is_cancelled)
      fail(ErrorKind::cancelled, "request: cancelled while encoding a picture");
    if (std::string_view(name) != "vision.block") return;
    Event event;
    event.kind = Event::Kind::progress;
    event.stage = "encode";
    event.done = n_done * model_.info().n_vision_layers + n_pairs * (layer + 1);
    event.total = n_all * model_.info().n_vision_layers;
    job.stream->push(std::move(event));
  };
}

Decoding::Emit Scheduler::emit_for(Job& job) {
  return [&job](Event event) {
    if (event.kind == Event::Kind::finished) {
      if (job.is_prefilled) job.timings.decode_ms = job.phase.milliseconds();
      job.usage.completion_tokens = job.decoding->n_generated();
      event.usage = job.usage;
      event.timings = job.timings;
      event.seed = job.options.seed;
      if (event.choice == 0) event.first_logits = std::move(job.first_logits);
    }
    job.stream->push(std::move(event));
  };
}

void Scheduler::drop_cancelled(Jobs& jobs) {
  for (auto it = jobs.begin(); it != jobs.end();) {
    const auto at = it++;
    if (!(*at)->stream->is_cancelled) continue;
    end_job(**at, nullptr);
    remove(jobs, at);
  }
}

// The stream ends: with FinishReason::cancelled when the reader wished so, else with the error, if
// there is one. Once is enough: a job may fail in several rows. Its pages are free before the
// reader hears of the end.
void Scheduler::end_job(Job& job, const std::exception_ptr& error) noexcept {
  if (!job.decoding) return;
  const bool is_cancelled = job.stream->is_cancelled;
  try {
    if (is_cancelled) job.decoding->cancel(emit_for(job));
    if (!is_cancelled && error) log(LogLevel::debug, "scheduler: a request failed");
  } catch (...) {  // no memory for words: the end itself needs none
  }
  job.decoding.reset();
  job.stream->close(is_cancelled ? nullptr : error);
}

void Scheduler::fail_all(const std::exception_ptr& error) noexcept {
  for (Jobs* jobs : {&waiting_, &active_}) {
    for (auto& job : *jobs) end_job(*job, error);
    jobs->clear();
  }
  n_pages_reserved_ = bytes_reserved_ = 0;
}

void Scheduler::remove_finished() {
  for (auto it = active_.begin(); it != active_.end();) {
    const auto at = it++;
    Job& job = **at;
    if (job.decoding && !(job.is_prefilled && job.decoding->running().empty())) continue;
    end_job(job, nullptr);
    remove(active_, at);
  }
}

void Scheduler::remove(Jobs& jobs, Jobs::iterator at) {
  if ((*at)->is_admitted) {
    n_pages_reserved_ -= (*at)->n_pages_reserved;
    bytes_reserved_ -= bytes_for(**at);
  }
  jobs.erase(at);
}

}  // namespace qwenvl
