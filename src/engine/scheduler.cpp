#include "engine/scheduler.h"

#include <algorithm>
#include <cmath>

#include "core/log.h"
#include "core/settings.h"
#include "engine/trace_files.h"

namespace qwenvl {
namespace {

std::int64_t pages_of(std::int64_t n_tokens) {
  return (n_tokens + kKvPageTokens - 1) / kKvPageTokens;
}

Trace trace_from_settings() {
  const auto folder = setting("QWENVL_TRACE");
  return folder ? trace_to_folder(*folder) : Trace();
}

}  // namespace

// One step: the batch, and which job each row of logits goes to.
struct Scheduler::StepRows {
  struct Target {
    Job* job;
    Sequence* sequence;  // null: no logits wanted (a prefill chunk that is not the last)
    std::int64_t n_rows;
  };
  Batch batch;
  std::vector<std::vector<std::int32_t>> axes{3};  // positions axis by axis, joined at the end
  std::vector<Target> targets;                     // one per entry of batch.kv.sequences

  std::int64_t n() const { return static_cast<std::int64_t>(batch.ids.size()); }
};

Scheduler::Scheduler(const Model& model, const Tokenizer& tokenizer, Backend& backend,
                     const SchedulerOptions& options)
    : model_(model),
      tokenizer_(tokenizer),
      backend_(backend),
      options_(options),
      trace_(trace_from_settings()),
      pool_(model.info().kv, options.max_pages),
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

std::int64_t Scheduler::pages_for(const Job& job) const {
  const GenerationSettings& s = job.options.settings;
  const std::int64_t n_prompt = static_cast<std::int64_t>(job.prompt.ids.size());
  const std::int64_t n_sequences = std::max(s.num_beams, s.num_return_sequences);
  // Sequences share the prompt's full pages; each owns the page it diverges in and all that follow.
  // While beams are replaced, the old and the new one both hold their last page.
  const std::int64_t own = pages_of(n_prompt % kKvPageTokens + job.options.max_new_tokens);
  const std::int64_t pages = n_sequences == 1 ? pages_of(n_prompt + job.options.max_new_tokens)
                                              : pages_of(n_prompt) + n_sequences * (own + 1);
  if (pages > options_.max_pages) {
    fail(ErrorKind::out_of_memory,
         "request: its key/value cache takes up to {} MB ({} prompt tokens, {} new, {} sequences), "
         "expected at most "
         "{} MB: lower max_new_tokens or the picture size, or raise kv_cache_bytes",
         pages * pool_.layout().page_bytes() >> 20, n_prompt, job.options.max_new_tokens,
         n_sequences, options_.max_pages * pool_.layout().page_bytes() >> 20);
  }
  return pages;
}

void Scheduler::submit(std::unique_ptr<Job> job) {
  {
    const std::lock_guard lock(mutex_);
    incoming_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void Scheduler::loop() {
  while (true) {
    receive();
    drop_cancelled(waiting_);
    drop_cancelled(active_);
    admit();
    if (active_.empty()) {
      const std::lock_guard lock(mutex_);
      if (is_stopping_ && incoming_.empty()) return;
      continue;
    }
    if (!encode_next()) step();
    remove_finished();
  }
}

// Takes over what was submitted; sleeps while there is nothing to do.
void Scheduler::receive() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return is_stopping_ || !incoming_.empty() || !active_.empty(); });
  waiting_.splice(waiting_.end(), incoming_);
  if (!is_stopping_) return;
  for (const Jobs* jobs : {&waiting_, &active_}) {
    for (const auto& job : *jobs) job->stream->is_cancelled = true;
  }
}

// First come, first served: nobody overtakes a job that waits for pages.
void Scheduler::admit() {
  while (!waiting_.empty()) {
    Job& job = *waiting_.front();
    if (n_pages_reserved_ + job.n_pages_reserved > options_.max_pages) return;
    n_pages_reserved_ += job.n_pages_reserved;
    Sequence prompt{job.prompt.ids, static_cast<std::int64_t>(job.prompt.ids.size()),
                    job.prompt.next_position, KvCache(pool_), Detokenizer(tokenizer_, job.stop)};
    job.decoding = make_decoding(std::move(prompt), job.options, tokenizer_);
    active_.splice(active_.end(), waiting_, waiting_.begin());
  }
}

// Encodes one picture of the first job that waits for one; false when none does.
bool Scheduler::encode_next() {
  for (auto& job : active_) {
    if (job->is_encoded()) continue;
    try {
      encode(*job);
    } catch (...) {
      fail_job(*job, std::current_exception());
    }
    return true;
  }
  return false;
}

void Scheduler::encode(Job& job) {
  Stopwatch watch;
  const VisionInput& input = job.media[job.features.size()];
  const MediaKey key = key_of(input);
  std::shared_ptr<const Features> known = vision_cache_.find(key);
  if (!known) {
    const DType type = model_.info().compute;
    auto fresh = std::make_shared<Features>();
    fresh->memory.resize(static_cast<std::size_t>(input.n_tokens * model_.info().feature_width) *
                         size_of(type));
    fresh->view = Tensor(fresh->memory.data(), type, {input.n_tokens, model_.info().feature_width});
    const Trace trace = encode_trace(job);
    model_.encode(backend_, workspace_, input, fresh->view, &trace);
    workspace_.trim();
    vision_cache_.insert(key, fresh);
    known = std::move(fresh);
  }
  job.features.push_back(std::move(known));
  job.media[job.features.size() - 1].frames.clear();  // the pixels have done their work
  job.timings.encode_ms += watch.milliseconds();
  if (job.is_encoded()) job.phase.restart();
}

// Reports progress block by block, and stops at the next block when the reader has cancelled.
Trace Scheduler::encode_trace(const Job& job) {
  return [this, &job](const char* name, int layer, const Tensor& value) {
    if (trace_) trace_(name, layer, value);
    if (job.stream->is_cancelled)
      fail(ErrorKind::cancelled, "request: cancelled while encoding a picture");
    if (std::string_view(name) != "vision.block") return;
    Event event;
    event.kind = Event::Kind::progress;
    event.stage = "encode";
    event.done =
        static_cast<std::int64_t>(job.features.size()) * model_.info().n_vision_layers + layer + 1;
    event.total = static_cast<std::int64_t>(job.media.size()) * model_.info().n_vision_layers;
    job.stream->push(std::move(event));
  };
}

bool Scheduler::step() {
  StepRows rows;
  rows.batch.kv.layout = pool_.layout();
  bool has_prefill = false;
  std::vector<Jobs::iterator> served;
  for (auto it = active_.begin(); it != active_.end(); ++it) {
    Job& job = **it;
    if (!job.decoding || !job.is_encoded()) continue;
    if (!job.is_prefilled) {
      if (!has_prefill) add_prefill(job, rows);
      has_prefill = true;
    } else if (rows.targets.empty() || rows.targets.size() + job.decoding->running().size() <=
                                           static_cast<std::size_t>(options_.max_batch_sequences)) {
      add_decode(job, rows);
      served.push_back(it);
    }
  }
  if (rows.targets.empty()) return false;
  for (const auto& it : served)
    active_.splice(active_.end(), active_, it);  // the others go first next time
  for (const auto& axis : rows.axes)
    rows.batch.positions.insert(rows.batch.positions.end(), axis.begin(), axis.end());
  std::vector<float> logits(rows.batch.logit_rows.size() *
                            static_cast<std::size_t>(model_.info().vocabulary));
  try {
    model_.forward(
        backend_, workspace_, rows.batch,
        Tensor(logits.data(), DType::f32,
               {static_cast<std::int64_t>(rows.batch.logit_rows.size()), model_.info().vocabulary}),
        trace_ ? &trace_ : nullptr);
  } catch (...) {
    for (const auto& target : rows.targets) fail_job(*target.job, std::current_exception());
    return true;
  }
  deliver(rows, logits);
  return true;
}

void Scheduler::add_prefill(Job& job, StepRows& rows) {
  Sequence& prompt = *job.decoding->running().front();
  const std::int64_t done = prompt.cache.n_tokens();
  const std::int64_t n =
      std::min<std::int64_t>(options_.prefill_chunk_tokens, prompt.n_prompt - done);
  const std::int64_t first_row = rows.n();
  for (const MediaSlot& slot : job.prompt.slots) {
    const std::int64_t begin = std::max(slot.first_token, done);
    const std::int64_t end = std::min(slot.first_token + slot.n_tokens, done + n);
    if (begin >= end) continue;
    rows.batch.features.push_back(
        {first_row + begin - done,
         job.features[static_cast<std::size_t>(slot.media)]->view.slice_rows(
             begin - slot.first_token, end - begin)});
  }
  add_rows(prompt, done, n, job, rows);
  job.is_prefilled = done + n == prompt.n_prompt;
  if (job.is_prefilled) rows.batch.logit_rows.push_back(rows.n() - 1);
  rows.targets.push_back({&job, job.is_prefilled ? &prompt : nullptr, n});
}

void Scheduler::add_decode(Job& job, StepRows& rows) {
  for (Sequence* sequence : job.decoding->running()) {
    add_rows(*sequence, static_cast<std::int64_t>(sequence->ids.size()) - 1, 1, job, rows);
    rows.batch.logit_rows.push_back(rows.n() - 1);
    rows.targets.push_back({&job, sequence, 1});
  }
}

// ids [first_id, first_id + n) of a sequence whose cache holds exactly the ids before.
void Scheduler::add_rows(Sequence& sequence, std::int64_t first_id, std::int64_t n, Job& job,
                         StepRows& rows) {
  QWENVL_CHECK(sequence.cache.n_tokens() == first_id, "cache of {} tokens, next id {}",
               sequence.cache.n_tokens(), first_id);
  sequence.cache.prepare(n);
  rows.batch.kv.sequences.push_back({rows.n(), n, first_id, sequence.cache.pages()});
  for (std::int64_t i = first_id; i < first_id + n; ++i) {
    rows.batch.ids.push_back(sequence.ids[static_cast<std::size_t>(i)]);
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const std::int64_t in_prompt = static_cast<std::int64_t>(axis) * sequence.n_prompt + i;
      rows.axes[axis].push_back(i < sequence.n_prompt
                                    ? job.prompt.positions[static_cast<std::size_t>(in_prompt)]
                                    : sequence.next_position +
                                          static_cast<std::int32_t>(i - sequence.n_prompt));
    }
  }
}

void Scheduler::deliver(StepRows& rows, std::vector<float>& logits) {
  const std::size_t vocabulary = static_cast<std::size_t>(model_.info().vocabulary);
  std::size_t row = 0;
  for (std::size_t i = 0; i < rows.targets.size(); ++i) {
    const StepRows::Target& target = rows.targets[i];
    Job& job = *target.job;
    if (!target.sequence) {
      Sequence& prompt = *job.decoding->running().front();
      prompt.cache.advance(target.n_rows);
      Event event;
      event.kind = Event::Kind::progress;
      event.stage = "prefill";
      event.done = prompt.cache.n_tokens();
      event.total = prompt.n_prompt;
      job.stream->push(std::move(event));
      continue;
    }
    // The rows of one job lie side by side.
    std::vector<std::span<float>> own;
    for (; i < rows.targets.size() && rows.targets[i].job == &job; ++i) {
      rows.targets[i].sequence->cache.advance(rows.targets[i].n_rows);
      own.emplace_back(logits.data() + row++ * vocabulary, vocabulary);
    }
    --i;
    try {
      deliver_to(job, std::move(own));
    } catch (...) {
      fail_job(job, std::current_exception());
    }
  }
}

void Scheduler::deliver_to(Job& job, std::vector<std::span<float>> logits) {
  for (const auto& row : logits) {
    if (!std::isfinite(row[static_cast<std::size_t>(argmax(row))])) {
      fail(ErrorKind::bad_file,
           "model: the logits are not finite; the checkpoint's weights are damaged or overflow in "
           "{}",
           name_of(model_.info().compute));
    }
  }
  if (job.timings.prefill_ms == 0) {
    job.timings.prefill_ms = job.phase.restart();
    if (job.want_first_logits) job.first_logits.assign(logits[0].begin(), logits[0].end());
  }
  job.decoding->advance(logits, emit_for(job));
}

Decoding::Emit Scheduler::emit_for(Job& job) {
  return [&job](Event event) {
    if (event.kind == Event::Kind::finished) {
      job.timings.decode_ms = job.phase.milliseconds();
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
    Job& job = **it;
    if (!job.stream->is_cancelled) {
      ++it;
      continue;
    }
    if (job.decoding) {
      job.decoding->cancel(emit_for(job));
    } else {
      Event event;
      event.kind = Event::Kind::finished;
      event.finish_reason = FinishReason::cancelled;
      event.usage = job.usage;
      event.timings = job.timings;
      job.stream->push(std::move(event));
    }
    job.stream->close(nullptr);
    if (job.decoding) n_pages_reserved_ -= job.n_pages_reserved;  // it was admitted
    it = jobs.erase(it);
  }
}

// The job ends with an error; cancelled ones end as drop_cancelled ends them.
void Scheduler::fail_job(Job& job, std::exception_ptr error) {
  if (job.stream->is_cancelled) return;
  log(LogLevel::debug, "scheduler: a request failed");
  job.stream->close(std::move(error));
  job.decoding.reset();
}

void Scheduler::remove_finished() {
  for (auto it = active_.begin(); it != active_.end();) {
    Job& job = **it;
    const bool has_failed = !job.decoding;
    if (!has_failed && !(job.is_prefilled && job.decoding->running().empty())) {
      ++it;
      continue;
    }
    if (!has_failed) job.stream->close(nullptr);
    n_pages_reserved_ -= job.n_pages_reserved;
    it = active_.erase(it);
  }
}

}  // namespace qwenvl
