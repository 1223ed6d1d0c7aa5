// The state behind an EventStream: events from the inference thread to one reader.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>

#include "qwenvl/engine.h"

namespace qwenvl {

struct EventQueue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Event> events;
  std::exception_ptr error;
  bool is_over = false;
  std::atomic<bool> is_cancelled = false;

  void push(Event event) {
    const std::lock_guard lock(mutex);
    events.push_back(std::move(event));
    changed.notify_one();
  }
  // After this nothing more is pushed; `failure` may be empty.
  void close(std::exception_ptr failure) {
    const std::lock_guard lock(mutex);
    error = std::move(failure);
    is_over = true;
    changed.notify_one();
  }
};

}  // namespace qwenvl
