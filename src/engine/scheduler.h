// Who runs next: pictures, prefill chunks and decode rows of all requests in flight.
// Before: engine.cpp prepares jobs.   After: events on each job's stream.
//
// One thread loops: admit → encode one picture → one step (a prefill chunk and every decode row in
// one batch) → hand the logits to each job's Decoding.
#pragma once

#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "engine/decoding.h"
#include "engine/event_queue.h"
#include "engine/kv_cache.h"
#include "engine/vision_cache.h"
#include "models/model.h"

namespace qwenvl {

// One request's life. Filled by engine.cpp up to `stream`; the rest belongs to the scheduler.
struct Job {
  Prompt prompt;
  std::vector<VisionInput> media;
  DecodingOptions options;
  std::vector<std::string> stop;
  bool want_first_logits = false;
  Usage usage;
  Timings timings;
  std::shared_ptr<EventQueue> stream;

  std::vector<std::shared_ptr<const Features>> features;  // of media, as they are encoded
  std::int64_t n_pages_reserved = 0;
  std::unique_ptr<Decoding> decoding;
  std::vector<float> first_logits;
  Stopwatch phase;  // restarted when prefill and when decoding begin
  bool is_prefilled = false;

  bool is_encoded() const { return features.size() == media.size(); }
};

struct SchedulerOptions {
  std::int64_t max_pages = 0;
  int max_batch_sequences = 64;
  int prefill_chunk_tokens = 512;
  std::size_t vision_cache_bytes = 0;
};

class Scheduler {
 public:
  // All references must outlive this.
  Scheduler(const Model& model, const Tokenizer& tokenizer, Backend& backend,
            const SchedulerOptions& options);
  ~Scheduler();  // cancels what is in flight

  // Pages a job can need at most. Throws out_of_memory when it could never be admitted.
  std::int64_t pages_for(const Job& job) const;
  void submit(std::unique_ptr<Job> job);

 private:
  using Jobs = std::list<std::unique_ptr<Job>>;
  struct StepRows;

  void loop();
  void admit();
  bool encode_next();
  bool step();
  void encode(Job& job);
  Trace encode_trace(const Job& job);
  void add_prefill(Job& job, StepRows& rows);
  void add_decode(Job& job, StepRows& rows);
  void add_rows(Sequence& sequence, std::int64_t first_id, std::int64_t n, Job& job,
                StepRows& rows);
  void deliver(StepRows& rows, std::vector<float>& logits);
  void deliver_to(Job& job, std::vector<std::span<float>> logits);
  Decoding::Emit emit_for(Job& job);
  void receive();
  void drop_cancelled(Jobs& jobs);
  void fail_job(Job& job, std::exception_ptr error);
  void remove_finished();

  const Model& model_;
  const Tokenizer& tokenizer_;
  Backend& backend_;
  const SchedulerOptions options_;
  const Trace trace_;  // empty unless QWENVL_TRACE is set
  KvPool pool_;
  VisionCache vision_cache_;
  Workspace workspace_;
  Jobs waiting_;  // for pages, in order of arrival
  Jobs active_;   // admitted
  std::int64_t n_pages_reserved_ = 0;

  std::mutex mutex_;  // guards incoming_ and is_stopping_
  std::condition_variable wake_;
  Jobs incoming_;
  bool is_stopping_ = false;
  std::thread thread_;  // last: starts when everything else exists
};

}  // namespace qwenvl
