// The frames of a schedule, decoded by a thread of their own while those before are used.
// Before: a sampler chose the frames.   After: the model resizes one after the other.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "media/image.h"
#include "media/video/video.h"

namespace qwenvl {

class FrameStream {
 public:
  // The reader must outlive it, and is not to be used until it is gone.
  FrameStream(VideoReader& reader, const FrameSchedule& schedule);
  ~FrameStream();
  FrameStream(const FrameStream&) = delete;
  FrameStream& operator=(const FrameStream&) = delete;

  // The next frame of the schedule; called at most once for each. Throws what the reader threw.
  Image next();

 private:
  void decode();

  VideoReader& reader_;
  const FrameSchedule schedule_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Image> decoded_;  // a few at most
  std::exception_ptr failure_;
  bool is_stopped_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace qwenvl
