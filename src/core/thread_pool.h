// A fixed set of threads that share the ranges of a loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace qwenvl {

// Cores this process may use: the affinity mask and the cgroup's CPU quota, at least 1.
int available_cores();

class ThreadPool {
 public:
  static constexpr int kMaxThreads = 1000;

  // n_threads, 1 to kMaxThreads, includes the calling thread.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const;

  // Calls body(i, thread) once for every i in [0, n), in any order, on all threads; returns when
  // all are done. `thread` is in [0, n_threads). Calls from several threads are served one after
  // the other; a call from inside a body of this pool runs in place, under the same `thread`. (Two
  // pools must not call each other in a circle.) A body should not throw; if one does, indices not
  // yet begun are dropped and the first exception is thrown again here.
  void parallel_for(std::int64_t n, const std::function<void(std::int64_t i, int thread)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qwenvl
