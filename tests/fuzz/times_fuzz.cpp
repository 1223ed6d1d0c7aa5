// Any bytes as an answer: times are finite and in order, and fit any clip they are put into.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "fuzz/outcome.h"
#include "qwenvl/times.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using qwenvl::fuzz::require;
  const std::string answer(reinterpret_cast<const char*>(data), size);
  qwenvl::ClipInfo clip;
  clip.n_frames = 4;
  clip.fps = 2;
  clip.frame_seconds = {10, 10.5, 11.25, 11.5};
  for (const qwenvl::TimeSpan& span : qwenvl::find_times(answer)) {
    require(std::isfinite(span.begin) && std::isfinite(span.end));
    require(0 <= span.begin && span.begin <= span.end);
    require(!span.is_moment || span.begin == span.end);
    const qwenvl::TimeSpan seen = qwenvl::to_video_time(span, clip);
    require(10 <= seen.begin && seen.begin <= seen.end && seen.end <= 12);
    require(!qwenvl::clock_text(span.end).empty());
  }
  return 0;
}
