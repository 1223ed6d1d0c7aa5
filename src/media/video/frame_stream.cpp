// Before: a sampler chose the frames.   After: the model resizes one after the other.
#include "media/video/frame_stream.h"

#include "core/check.h"

namespace qwenvl {
namespace {

constexpr std::size_t kMostWaiting = 2;  // whole frames: they may be large

}  // namespace

FrameStream::FrameStream(VideoReader& reader, const FrameSchedule& schedule)
    : reader_(reader), schedule_(schedule), thread_([this] { decode(); }) {}

FrameStream::~FrameStream() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void FrameStream::decode() {
  try {
    for (const std::int64_t frame : schedule_.frames) {
      reader_.move_to(frame);
      Image image = reader_.rgb();
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return is_stopped_ || decoded_.size() < kMostWaiting; });
      if (is_stopped_) return;
      decoded_.push_back(std::move(image));
      changed_.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
    changed_.notify_all();
  }
}

Image FrameStream::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || !decoded_.empty(); });
  if (decoded_.empty()) std::rethrow_exception(failure_);
  Image image = std::move(decoded_.front());
  decoded_.pop_front();
  changed_.notify_all();
  return image;
}

}  // namespace qwenvl
