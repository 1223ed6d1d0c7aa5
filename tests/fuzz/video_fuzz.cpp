// Any bytes as a video: a few frames forwards and back; only clear errors may escape.
// Seeds: small clips of tests/golden/video.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "fuzz/outcome.h"
#include "media/video/video.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  qwenvl::VideoLimits limits;
  limits.max_pixels = 1 << 18;
  limits.max_side_px = 2048;
  limits.max_frames = 4096;
  qwenvl::VideoSource source{"input", "", std::vector<std::byte>(size)};
  if (size > 0) std::memcpy(source.bytes.data(), data, size);
  qwenvl::fuzz::expect_error_or_success(
      [&] {
        const auto style =
            size % 2 == 0 ? qwenvl::ReaderStyle::torchcodec : qwenvl::ReaderStyle::decord;
        const auto reader = qwenvl::open_video(std::move(source), style, limits);
        const std::int64_t last = reader->index().size() - 1;
        qwenvl::fuzz::require(last >= 0 && reader->info().average_fps > 0);
        for (const std::int64_t frame : {std::int64_t{0}, last / 2, last, last / 3}) {
          reader->move_to(frame);
          const qwenvl::Image image = reader->rgb();
          qwenvl::fuzz::require(image.rgb.size() == std::size_t{3} * image.width * image.height);
          qwenvl::fuzz::require(reader->luma(9, 16).values.size() == 9 * 16);
        }
        reader->warnings();
      },
      {qwenvl::ErrorKind::bad_file, qwenvl::ErrorKind::unsupported,
       qwenvl::ErrorKind::out_of_memory});
  return 0;
}
