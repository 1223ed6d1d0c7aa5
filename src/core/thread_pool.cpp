// Threads that share the indices of a loop. Used by the CPU back end for every verb and by media
// for resizing; a decode step makes hundreds of short calls, so handing out work must be cheap.
//
// One word, the gate, holds everything the threads agree on: the number of the call, whether it is
// open, and how many workers are inside. Workers may enter only while it is open; the caller works
// too, closes the gate when the indices are used up and waits only for workers that did enter. A
// worker that wakes late therefore delays nobody.
#include "core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.h"

namespace qwenvl {
namespace {

// The gate: [call number : 21][is open : 1][workers inside : 10].
constexpr std::uint32_t kInsideMask = 0x3ff;
static_assert(ThreadPool::kMaxThreads <= kInsideMask);
constexpr std::uint32_t kOpen = 0x400;
constexpr std::uint32_t kOneCall = 0x800;
constexpr std::uint32_t kNoCall = 1;  // no gate value of a call: nobody inside, nobody finished

// Between two verbs of a step a few microseconds pass: waiting them out is cheaper than sleeping.
constexpr std::chrono::microseconds kSpinTime{30};
// A thread takes this part of what is left at once: few requests at first, and at the end pieces so
// small that nobody waits long for the last one.
constexpr std::int64_t kPartTaken = 8;

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Polls `is_done` for kSpinTime; false when the time is over.
template <class Condition>
bool spin_until(const Condition& is_done) {
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 32; ++i) {
      if (is_done()) return true;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < end);
  return is_done();
}

// The pool whose body this thread is running, and its index there: nested calls run in place.
struct Inside {
  const void* pool = nullptr;
  int thread = 0;
};
thread_local Inside inside;

// Restored when a body throws, too.
class InsideScope {
 public:
  InsideScope(const void* pool, int thread) : outer_(inside) { inside = {pool, thread}; }
  ~InsideScope() { inside = outer_; }
  InsideScope(const InsideScope&) = delete;
  InsideScope& operator=(const InsideScope&) = delete;

 private:
  Inside outer_;
};

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> workers;
  bool may_spin = false;
  std::mutex one_call;  // calls from several threads queue here

  // The current call; written before the gate opens, read only inside it.
  const std::function<void(std::int64_t, int)>* body = nullptr;
  std::mutex error_mutex;
  std::exception_ptr error;

  // Each thread's part of the indices. Loops over the same rows thus give a thread the same rows,
  // which still lie in its own cache; a thread that is done helps the others.
  struct alignas(64) Range {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };
  std::vector<Range> ranges;

  alignas(64) std::atomic<std::uint32_t> gate{0};
  alignas(64) std::atomic<std::uint32_t> finished{0};  // gate value of the last call left by all
  std::atomic<bool> stopping{false};

  void share_out(std::int64_t n);
  void work(int thread);
  void work_on(Range& range, int thread);
  void run_worker(int thread);
  void leave();
  void wait_for_workers();
  void stop();
};

void ThreadPool::State::share_out(std::int64_t n) {
  const std::int64_t n_threads = static_cast<std::int64_t>(ranges.size());
  const std::int64_t each = n / n_threads, more = n % n_threads;
  std::int64_t begin = 0;
  for (std::int64_t i = 0; i < n_threads; ++i) {
    Range& range = ranges[static_cast<std::size_t>(i)];
    range.next.store(begin, std::memory_order_relaxed);
    begin += each + (i < more);
    range.end = begin;
  }
}

void ThreadPool::State::work_on(Range& range, int thread) {
  std::int64_t begin = range.next.load(std::memory_order_relaxed);
  while (begin < range.end) {
    const std::int64_t end = begin + std::max<std::int64_t>(1, (range.end - begin) / kPartTaken);
    if (!range.next.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
    for (std::int64_t i = begin; i < end; ++i) (*body)(i, thread);
    begin = range.next.load(std::memory_order_relaxed);
  }
}

// Takes chunks until none is left, its own first. After a throw the rest is abandoned.
void ThreadPool::State::work(int thread) {
  const InsideScope scope(this, thread);
  const std::size_t n = ranges.size(), own = static_cast<std::size_t>(thread);
  try {
    for (std::size_t i = 0; i < n; ++i) work_on(ranges[(own + i) % n], thread);
  } catch (...) {
    const std::lock_guard lock(error_mutex);
    if (!error) error = std::current_exception();
    for (Range& range : ranges) range.next.store(range.end, std::memory_order_relaxed);
  }
}

void ThreadPool::State::run_worker(int thread) {
  std::uint32_t seen = 0;  // the call this worker has already been part of
  for (;;) {
    std::uint32_t now = gate.load(std::memory_order_acquire);
    const auto has_news = [&] {
      now = gate.load(std::memory_order_acquire);
      return stopping.load(std::memory_order_relaxed) ||
             ((now & kOpen) && (now & ~(kInsideMask | kOpen)) != seen);
    };
    if (!(may_spin && spin_until(has_news))) {
      while (!has_news()) gate.wait(now, std::memory_order_acquire);
    }
    if (stopping.load(std::memory_order_relaxed)) return;
    // Entering fails when the caller closes the gate meanwhile: then there is nothing left to do.
    if (!gate.compare_exchange_strong(now, now + 1, std::memory_order_acq_rel)) continue;
    seen = now & ~(kInsideMask | kOpen);
    work(thread);
    leave();
  }
}

void ThreadPool::State::leave() {
  const std::uint32_t before = gate.fetch_sub(1, std::memory_order_acq_rel);
  const bool is_last = (before & kInsideMask) == 1 && !(before & kOpen);
  if (!is_last) return;
  finished.store(before & ~kInsideMask, std::memory_order_release);
  finished.notify_one();
}

// Closes the gate and waits for those inside.
void ThreadPool::State::wait_for_workers() {
  const std::uint32_t closed = gate.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  if ((closed & kInsideMask) == 0) return;
  const std::uint32_t call = closed & ~kInsideMask;
  const auto is_done = [&] { return finished.load(std::memory_order_acquire) == call; };
  if (may_spin && spin_until(is_done)) return;
  for (;;) {
    const std::uint32_t now = finished.load(std::memory_order_acquire);
    if (now == call) return;
    finished.wait(now, std::memory_order_acquire);
  }
}

void ThreadPool::State::stop() {
  stopping.store(true, std::memory_order_relaxed);
  gate.fetch_add(kOneCall, std::memory_order_release);
  gate.notify_all();
  for (std::thread& worker : workers) worker.join();
}

ThreadPool::ThreadPool(int n_threads) {
  QWENVL_CHECK(n_threads >= 1 && n_threads <= kMaxThreads, "a pool of {} threads", n_threads);
  state_ = std::make_unique<State>();
  // More threads than cores: one that spins would keep one that works from running.
  state_->may_spin = n_threads <= available_cores();
  state_->ranges = std::vector<State::Range>(static_cast<std::size_t>(n_threads));
  state_->workers.reserve(static_cast<std::size_t>(n_threads) - 1);
  try {
    for (int thread = 1; thread < n_threads; ++thread) {
      state_->workers.emplace_back([state = state_.get(), thread] { state->run_worker(thread); });
    }
  } catch (const std::system_error& error) {
    state_->stop();
    fail(ErrorKind::device, "threads: could not start thread {} of {}: {}",
         state_->workers.size() + 2, n_threads, error.what());
  }
}

ThreadPool::~ThreadPool() { state_->stop(); }

int ThreadPool::n_threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::parallel_for(std::int64_t n,
                              const std::function<void(std::int64_t i, int thread)>& body) {
  State& state = *state_;
  if (inside.pool == &state) {  // called from a body: the others are busy, and waiting would hang
    for (std::int64_t i = 0; i < n; ++i) body(i, inside.thread);
    return;
  }
  const std::lock_guard lock(state.one_call);
  if (n <= 1 || state.workers.empty()) {
    const InsideScope scope(&state, 0);
    for (std::int64_t i = 0; i < n; ++i) body(i, 0);
    return;
  }
  state.body = &body;
  state.share_out(n);
  state.finished.store(kNoCall, std::memory_order_relaxed);
  const std::uint32_t call = (state.gate.load(std::memory_order_relaxed) & ~kOpen) + kOneCall;
  state.gate.store(call | kOpen, std::memory_order_release);
  state.gate.notify_all();
  state.work(0);
  state.wait_for_workers();
  if (state.error) std::rethrow_exception(std::exchange(state.error, nullptr));
}

}  // namespace qwenvl
