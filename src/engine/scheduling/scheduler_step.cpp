// One step of the scheduler: which rows run together, and where their logits go.
// Before: scheduler.cpp has admitted jobs and encoded their pictures.   After: decoding.cpp chooses
// the next tokens.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/guard.h"
#include "engine/scheduling/scheduler.h"

namespace qwenvl {
namespace {

// One that is not finite spoils every comparison that chooses a token.
bool are_finite(std::span<const float> logits) {
  bool all = true;
  for (const float logit : logits) all &= std::abs(logit) <= std::numeric_limits<float>::max();
  return all;
}

}  // namespace

// One step: the batch, and which job each row of logits goes to.
struct Scheduler::StepRows {
  struct Target {
    Job* job;
    Sequence* sequence;
    std::int64_t n_rows;
    bool has_logits;  // not so for a prefill chunk before the last
  };
  Batch batch;
  std::vector<std::vector<std::int32_t>> axes{3};  // positions axis by axis, joined at the end
  std::vector<Target> targets;                     // one per entry of batch.kv.sequences

  std::int64_t n() const { return static_cast<std::int64_t>(batch.ids.size()); }
};

void Scheduler::step() {
  StepRows rows = select_rows();
  if (!rows.targets.empty()) run_rows(rows);
}

// A prefill chunk of the first job that needs one, and the decode rows of all jobs that fit. Jobs
// that were served go to the end of the line, so none that fits alone is skipped for ever. More
// sequences than max_batch_sequences run together only when one job has them.
Scheduler::StepRows Scheduler::select_rows() {
  Job* prefill = nullptr;
  std::vector<Jobs::iterator> decode;
  for (auto it = active_.begin(); it != active_.end(); ++it) {
    if (!(*it)->decoding || !(*it)->is_encoded()) continue;
    if ((*it)->is_prefilled) decode.push_back(it);
    if (!(*it)->is_prefilled && !prefill) prefill = it->get();
  }
  const std::size_t limit = static_cast<std::size_t>(options_.max_batch_sequences);
  std::size_t n_sequences = prefill && !is_decode_first_ ? 1 : 0;
  const std::size_t n_ready = decode.size();
  std::erase_if(decode, [&](Jobs::iterator it) {
    const std::size_t n = (*it)->decoding->running().size();
    if (n_sequences > 0 && n_sequences + n > limit) return true;
    n_sequences += n;
    return false;
  });
  if (is_decode_first_ && n_sequences > 0 && n_sequences + 1 > limit) prefill = nullptr;
  is_decode_first_ = prefill && decode.size() < n_ready;

  StepRows rows;
  Job* current = prefill;
  try {
    if (prefill) add_job(*prefill, rows);
    for (const auto& it : decode) {
      current = it->get();
      add_job(*current, rows);
      active_.splice(active_.end(), active_, it);
    }
  } catch (...) {  // its rows may be half there: begin again without it
    end_job(*current, current_error());
    return select_rows();
  }
  return rows;
}

void Scheduler::add_job(Job& job, StepRows& rows) {
  job.is_prefilled ? add_decode(job, rows) : add_prefill(job, rows);
}

void Scheduler::run_rows(StepRows& rows) {
  std::vector<float> logits;
  try {
    Batch& batch = rows.batch;
    batch.kv.layout = pool_.layout();
    for (const auto& axis : rows.axes) {
      batch.positions.insert(batch.positions.end(), axis.begin(), axis.end());
    }
    const std::int64_t n = static_cast<std::int64_t>(batch.logit_rows.size());
    logits.resize(static_cast<std::size_t>(n * model_.info().vocabulary));
    model_.forward(backend_, workspace_, batch,
                   Tensor(logits.data(), DType::f32, {n, model_.info().vocabulary}),
                   trace_ ? &trace_ : nullptr);
  } catch (...) {
    workspace_.trim();
    return run_apart(rows, current_error());
  }
  deliver(rows, logits);
}

// After a step that failed. No cache has advanced, so each job can try again by itself: only those
// end with an error that cannot run alone either.
void Scheduler::run_apart(const StepRows& rows, const std::exception_ptr& error) {
  std::vector<Job*> jobs;
  for (const auto& target : rows.targets) {
    if (jobs.empty() || jobs.back() != target.job) jobs.push_back(target.job);
  }
  if (jobs.size() == 1) return end_job(*jobs[0], error);
  for (Job* job : jobs) {
    try {
      StepRows own;
      add_job(*job, own);
      run_rows(own);
    } catch (...) {
      end_job(*job, current_error());
    }
  }
}

void Scheduler::add_prefill(Job& job, StepRows& rows) {
  Sequence& prompt = *job.decoding->running().front();
  const std::int64_t done = prompt.cache.n_tokens();
  if (done == 0) job.phase.restart();
  const std::int64_t n =
      std::min<std::int64_t>(options_.prefill_chunk_tokens, prompt.n_prompt - done);
  const std::int64_t first_row = rows.n();
  for (const MediaSlot& slot : job.prompt.slots) {
    std::int64_t first = slot.first_token;  // of the pair
    for (const auto& pair : job.features[static_cast<std::size_t>(slot.media)]) {
      const std::int64_t last = first + pair->view.rows();
      const std::int64_t begin = std::max(first, done), end = std::min(last, done + n);
      if (begin < end) {
        rows.batch.features.push_back(
            {first_row + begin - done, pair->view.slice_rows(begin - first, end - begin)});
      }
      first = last;
    }
  }
  add_rows(prompt, done, n, job, rows);
  const bool is_last = done + n == prompt.n_prompt;
  if (is_last) rows.batch.logit_rows.push_back(rows.n() - 1);
  rows.targets.push_back({&job, &prompt, n, is_last});
}

void Scheduler::add_decode(Job& job, StepRows& rows) {
  for (Sequence* sequence : job.decoding->running()) {
    add_rows(*sequence, static_cast<std::int64_t>(sequence->ids.size()) - 1, 1, job, rows);
    rows.batch.logit_rows.push_back(rows.n() - 1);
    rows.targets.push_back({&job, sequence, 1, true});
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
  float* next = logits.data();
  for (std::size_t i = 0; i < rows.targets.size();) {
    // The rows of one job lie side by side.
    Job& job = *rows.targets[i].job;
    std::size_t n = 0;
    for (; i < rows.targets.size() && rows.targets[i].job == &job; ++i) {
      rows.targets[i].sequence->cache.advance(rows.targets[i].n_rows);
      if (rows.targets[i].has_logits) ++n;
    }
    try {
      std::vector<std::span<float>> own;
      for (std::size_t j = 0; j < n; ++j) own.emplace_back(next + j * vocabulary, vocabulary);
      deliver_to(job, own);
    } catch (...) {
      end_job(job, current_error());
    }
    next += n * vocabulary;
  }
}

// No logits: the prompt is not complete yet.
void Scheduler::deliver_to(Job& job, std::span<const std::span<float>> logits) {
  if (!std::all_of(logits.begin(), logits.end(), are_finite)) {
    fail(ErrorKind::bad_file,
         "model: the logits are not finite; the checkpoint's weights are damaged or overflow in {}",
         name_of(model_.info().compute));
  }
  if (!job.is_prefilled) {
    report_prefill(job);
    if (logits.empty()) return;
    job.is_prefilled = true;
    job.timings.prefill_ms = job.phase.restart();
    if (job.want_first_logits) job.first_logits.assign(logits[0].begin(), logits[0].end());
  }
  job.decoding->advance(logits, emit_for(job));
}

void Scheduler::report_prefill(Job& job) {
  const Sequence& prompt = *job.decoding->running().front();
  Event event;
  event.kind = Event::Kind::progress;
  event.stage = "prefill";
  event.done = prompt.cache.n_tokens();
  event.total = prompt.n_prompt;
  job.stream->push(std::move(event));
}

}  // namespace qwenvl
