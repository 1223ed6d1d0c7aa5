// The reading end of a request.
#include <iterator>
#include <utility>

#include "core/check.h"
#include "engine/scheduling/event_queue.h"

namespace qwenvl {

EventStream::EventStream() = default;
EventStream::EventStream(EventStream&&) noexcept = default;

EventStream& EventStream::operator=(EventStream&& other) noexcept {
  if (this == &other) return *this;
  cancel();
  queue_ = std::move(other.queue_);
  return *this;
}

// A reader that goes away takes its request with it.
EventStream::~EventStream() { cancel(); }

bool EventStream::next(Event& event) {
  if (!queue_) return false;
  std::unique_lock lock(queue_->mutex);
  queue_->changed.wait(lock, [&] { return !queue_->events.empty() || queue_->is_over; });
  if (!queue_->events.empty()) {
    event = std::move(queue_->events.front());
    queue_->events.pop_front();
    return true;
  }
  if (queue_->error) std::rethrow_exception(std::exchange(queue_->error, nullptr));
  return false;
}

void EventStream::cancel() {
  if (queue_) queue_->is_cancelled = true;
}

Answer collect(EventStream stream) {
  Answer answer;
  const auto choice = [&](int index) -> Choice& {
    if (answer.choices.size() <= static_cast<std::size_t>(index))
      answer.choices.resize(static_cast<std::size_t>(index) + 1);
    return answer.choices[static_cast<std::size_t>(index)];
  };
  for (Event event; stream.next(event);) {
    switch (event.kind) {
      case Event::Kind::progress: break;
      case Event::Kind::prepared:
        answer.pictures = std::move(event.pictures);
        answer.clips = std::move(event.clips);
        answer.usage = event.usage;
        answer.seed = event.seed;
        break;
      case Event::Kind::text: {
        Choice& to = choice(event.choice);
        to.text += event.text;
        std::move(event.tokens.begin(), event.tokens.end(), std::back_inserter(to.tokens));
        break;
      }
      case Event::Kind::finished: {
        Choice& to = choice(event.choice);
        to.finish_reason = event.finish_reason;
        to.matched_stop = std::move(event.matched_stop);
        to.score = event.score;
        answer.usage = event.usage;
        answer.timings = event.timings;
        break;
      }
    }
  }
  return answer;
}

const char* name_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::none: return "none";
    case FinishReason::stop: return "stop";
    case FinishReason::length: return "length";
    case FinishReason::cancelled: return "cancelled";
  }
  return "none";
}

}  // namespace qwenvl
