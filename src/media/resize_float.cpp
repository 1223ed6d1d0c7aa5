// Antialiased bicubic resampling in float32, the kernel the reference gives to frames of clips, bit
// for bit.
// Before: the loader's frames.   After: the model cuts the result into patches.
// Mirrors torchvision's resize of float tensors on a CPU with fused multiply-add.
//
// The bits depend on how that kernel adds: the first product, then blocks of four products that are
// rounded before they are added one by one, then the rest with fused steps. Width first.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "media/resize.h"

namespace qwenvl {
namespace {

constexpr int kBlock = 4;

// Weights of one axis: output o is the sum of input[first[o] + i] * weight[o * stride + i].
struct FloatWeights {
  int stride = 0;
  std::vector<int> first, count;
  std::vector<float> weight;

  const float* of(int o) const { return weight.data() + static_cast<std::size_t>(o) * stride; }
  // How many terms after the first are added as rounded products.
  int n_rounded(int o) const { return (count[o] - 1) / kBlock * kBlock; }
};

// K(x) of Keys' cubic with a = -0.5, every step fused.
float cubic(float x) {
  constexpr float a = -0.5f;
  x = std::fabs(x);
  if (x < 1.0f) return std::fma(std::fma(a + 2.0f, x, -(a + 3.0f)) * x, x, 1.0f);
  if (x >= 2.0f) return 0.0f;
  return std::fma(std::fma(std::fma(a, x, -5.0f * a), x, 8.0f * a), x, -4.0f * a);
}

FloatWeights make_weights(int n_in, int n_out) {
  const float scale = static_cast<float>(n_in) / static_cast<float>(n_out);
  const float support = scale >= 1.0f ? 2.0f * scale : 2.0f;
  const float inverse = scale >= 1.0f ? 1.0f / scale : 1.0f;
  FloatWeights axis;
  axis.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  axis.weight.resize(static_cast<std::size_t>(n_out) * axis.stride);
  for (int o = 0; o < n_out; ++o) {
    const float center = scale * (static_cast<float>(o) + 0.5f);
    // 0.5 is a double in the reference
    const int low = std::max(0, static_cast<int>(static_cast<double>(center - support) + 0.5));
    const int high = std::min(n_in, static_cast<int>(static_cast<double>(center + support) + 0.5));
    float* w = axis.weight.data() + static_cast<std::size_t>(o) * axis.stride;
    const float start = static_cast<float>(low) - center;
    float sum = 0;
    for (int i = 0; i < high - low; ++i) {
      const double place = static_cast<double>(static_cast<float>(i) + start) + 0.5;
      w[i] = cubic(static_cast<float>(place * static_cast<double>(inverse)));
      sum += w[i];
    }
    for (int i = 0; i < high - low; ++i) {
      if (sum != 0.0f) w[i] /= sum;
    }
    axis.first.push_back(low);
    axis.count.push_back(high - low);
  }
  return axis;
}

// a · b + c with one rounding: the product of two floats is exact in double.
inline float fused(float a, float b, float c) {
  return static_cast<float>(static_cast<double>(a) * static_cast<double>(b) +
                            static_cast<double>(c));
}

FloatImage resample_width(const FloatImage& image, int width) {
  const FloatWeights axis = make_weights(image.width, width);
  FloatImage out{image.height, width, {}};
  out.rgb.resize(static_cast<std::size_t>(image.height) * width * 3);
  for (int y = 0; y < image.height; ++y) {
    float* to = out.row(y);
    for (int x = 0; x < width; ++x, to += 3) {
      const float* from = image.row(y) + std::size_t{3} * axis.first[x];
      const float* w = axis.of(x);
      const int n_rounded = axis.n_rounded(x);
      for (int c = 0; c < 3; ++c) {
        float sum = from[c] * w[0];
        int i = 1;
        for (; i <= n_rounded; ++i) sum += from[3 * i + c] * w[i];
        for (; i < axis.count[x]; ++i) sum = fused(from[3 * i + c], w[i], sum);
        to[c] = sum;
      }
    }
  }
  return out;
}

FloatImage resample_height(const FloatImage& image, int height) {
  const FloatWeights axis = make_weights(image.height, height);
  const std::size_t n = static_cast<std::size_t>(image.width) * 3;
  FloatImage out{height, image.width, {}};
  out.rgb.resize(n * height);
  for (int y = 0; y < height; ++y) {  // whole rows at a time: the inner loops vectorise
    const float* w = axis.of(y);
    const int n_rounded = axis.n_rounded(y);
    float* sums = out.row(y);
    const float* from = image.row(axis.first[y]);
    for (std::size_t x = 0; x < n; ++x) sums[x] = from[x] * w[0];
    for (int i = 1; i < axis.count[y]; ++i) {
      from += n;
      if (i <= n_rounded) {
        for (std::size_t x = 0; x < n; ++x) sums[x] += from[x] * w[i];
      } else {
        for (std::size_t x = 0; x < n; ++x) sums[x] = fused(from[x], w[i], sums[x]);
      }
    }
  }
  return out;
}

}  // namespace

FloatImage resize_bicubic_float(const Image& image, int height, int width) {
  QWENVL_CHECK(image.height > 0 && image.width > 0 && height > 0 && width > 0,
               "resize from {} x {} to {} x {}", image.height, image.width, height, width);
  FloatImage out{image.height, image.width, {image.rgb.begin(), image.rgb.end()}};
  if (width != out.width) out = resample_width(out, width);
  if (height != out.height) out = resample_height(out, height);
  return out;
}

Image rounded(const FloatImage& image) {
  Image out{image.height, image.width, {}};
  out.rgb.resize(image.rgb.size());
  std::transform(image.rgb.begin(), image.rgb.end(), out.rgb.begin(), [](float value) {
    return static_cast<std::uint8_t>(std::nearbyint(std::clamp(value, 0.0f, 255.0f)));
  });
  return out;
}

}  // namespace qwenvl
