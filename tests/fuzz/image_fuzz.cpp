// Any bytes through both loaders and both resize kernels: only qwenvl::Error may escape.
// Seeds: tests/golden/images.
#include <cstddef>
#include <cstdint>
#include <span>

#include "media/image.h"
#include "media/resize.h"
#include "qwenvl/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  qwenvl::DecodeLimits limits;
  limits.max_pixels = 1 << 20;
  limits.max_side_px = 20'000;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  for (qwenvl::Loader loader : {qwenvl::Loader::qwen_vl_utils, qwenvl::Loader::hf}) {
    try {
      const qwenvl::Image image = qwenvl::decode_image(bytes, "input", loader, limits);
      const auto kernel =
          size % 2 == 0 ? qwenvl::ResizeKernel::pillow : qwenvl::ResizeKernel::torch_int16;
      qwenvl::resize_bicubic(image, 28, 56, kernel);
    } catch (const qwenvl::Error&) {
    }
  }
  return 0;
}
