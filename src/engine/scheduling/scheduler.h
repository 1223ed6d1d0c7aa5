// Who runs next: pictures, prefill chunks and decode rows of all requests in flight.
// Before: engine.cpp prepares jobs.   After: events on each job's stream.
//
// One thread loops: admit → encode a picture or a few pairs of frames → one step (a prefill chunk
// and every decode row in one batch) → hand the logits to each job's Decoding. Whatever is thrown
// on the way ends jobs, never the thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "engine/generation/decoding.h"
#include "engine/scheduling/event_queue.h"
#include "engine/scheduling/kv_cache.h"
#include "engine/scheduling/room.h"
#include "engine/scheduling/vision_cache.h"
#include "models/model.h"

namespace qwenvl {

// One request's life. Filled by engine.cpp up to `stream`; the rest belongs to the scheduler.
struct Job {
  Prompt prompt;
  std::vector<VisionInput> media;
  DecodingOptions options;
  std::vector<std::string> stop;
  bool want_first_logits = false;
  std::int64_t pixel_bytes = 0;  // of media
  std::int64_t extra_bytes = 0;  // what it takes besides these and its pages
  Usage usage;
  Timings timings;
  std::shared_ptr<EventQueue> stream;

  // Of media, pair by pair, as they are encoded; empty ones are still to come.
  std::vector<std::vector<std::shared_ptr<const Features>>> features;
  std::map<MediaKey, std::shared_ptr<const Features>> known;  // of pairs that it has
  std::size_t n_encoded = 0;                                  // of media, from the first on
  std::int64_t n_pages_reserved = 0;
  Room::Place place;
  bool is_admitted = false;            // its pages are counted
  std::unique_ptr<Decoding> decoding;  // empty once the job has failed
  std::vector<float> first_logits;
  Stopwatch phase;            // restarted when prefill and when decoding begin
  bool is_prefilled = false;  // the prompt is in the cache and its logits have been delivered

  bool is_encoded() const { return n_encoded == media.size(); }
};

struct SchedulerOptions {
  KvLayout kv;
  std::int64_t max_pages = 0;
  std::int64_t room_bytes = std::numeric_limits<std::int64_t>::max();  // of all requests together
  int max_batch_sequences = 64;
  int prefill_chunk_tokens = 384;
  std::size_t vision_cache_bytes = 0;
  std::function<void()> before_encode, after_encode;  // called where set
};

class Scheduler {
 public:
  // All references must outlive this.
  Scheduler(const Model& model, const Tokenizer& tokenizer, Backend& backend,
            const SchedulerOptions& options);
  ~Scheduler();  // cancels what is in flight

  // Called by any thread. Throws out_of_memory when the job could never be admitted, and
  // bad_request for stop strings that are not text; then nothing has been queued.
  void submit(std::unique_ptr<Job> job);

  // Tokens that the key/value cache holds.
  std::int64_t max_tokens() const { return options_.max_pages * kKvPageTokens; }
  // Key/value pages in use, and the most there ever were; for tests, while no job is in flight.
  std::int64_t pages_in_use() const { return pool_.n_in_use(); }
  std::int64_t peak_pages() const { return pool_.n_allocated(); }

 private:
  using Jobs = std::list<std::unique_ptr<Job>>;
  struct StepRows;

  std::int64_t pages_for(const Job& job) const;
  std::int64_t bytes_for(const Job& job) const;
  void limit_vision_cache();
  void loop();
  bool turn();
  void admit();
  void encode_next();
  void encode(Job& job);
  void encode_pairs(Job& job, std::span<const std::int64_t> pairs, std::span<const MediaKey> keys);
  std::shared_ptr<const Features> known_features(const Job& job, const MediaKey& key);
  Trace encode_trace(const Job& job, std::int64_t n_pairs);
  void step();
  StepRows select_rows();
  void add_job(Job& job, StepRows& rows);
  void add_prefill(Job& job, StepRows& rows);
  void add_decode(Job& job, StepRows& rows);
  void add_rows(Sequence& sequence, std::int64_t first_id, std::int64_t n, Job& job,
                StepRows& rows);
  void run_rows(StepRows& rows);
  void run_apart(const StepRows& rows, const std::exception_ptr& error);
  void deliver(StepRows& rows, std::vector<float>& logits);
  void deliver_to(Job& job, std::span<const std::span<float>> logits);
  void report_prefill(Job& job);
  Decoding::Emit emit_for(Job& job);
  void receive();
  void drop_cancelled(Jobs& jobs);
  void end_job(Job& job, const std::exception_ptr& error) noexcept;
  void fail_all(const std::exception_ptr& error) noexcept;
  void remove_finished();
  void remove(Jobs& jobs, Jobs::iterator at);

  const Model& model_;
  const Tokenizer& tokenizer_;
  Backend& backend_;
  const SchedulerOptions options_;
  const Trace trace_;  // empty unless QWENVL_TRACE is set
  KvPool pool_;
  Room room_;
  VisionCache vision_cache_;
  Workspace workspace_;
  Jobs waiting_;                                            // for pages, in order of arrival
  Jobs active_;                                             // admitted
  std::int64_t n_pages_reserved_ = 0, bytes_reserved_ = 0;  // of active_
  bool is_decode_first_ = false;  // the last prefill chunk left no room for some decode rows

  std::mutex mutex_;  // guards incoming_, and changes of is_stopping_
  std::condition_variable wake_;
  Jobs incoming_;
  std::atomic<bool> is_stopping_ = false;
  std::thread thread_;  // last: starts when everything else exists
};

}  // namespace qwenvl
