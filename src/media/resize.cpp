// Antialiased bicubic resampling, the two 8-bit kernels of the reference, bit for bit.
// Before: image.cpp has decoded the pixels.   After: the model cuts the result into patches.
// Mirrors Pillow 13's Image.resize (BICUBIC) and torchvision's resize of uint8 tensors on the CPU.
//
// Both resample one axis after the other through an 8-bit intermediate, with the same weights in
// double precision; they differ in the fixed point of the weights and in the order of the axes.
#include "media/resize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/check.h"

namespace qwenvl {
namespace {

bool is_pillow(ResizeKernel kernel) { return kernel != ResizeKernel::torch_int16; }

constexpr int kPillowBits = 22;
constexpr int kMaxTorchBits = 22;

// Weights of one axis: output o is the sum of input[first[o] + i] * weight[o * stride + i].
struct AxisWeights {
  int n_out = 0, stride = 0, bits = 0;  // weights are scaled by 2^bits
  std::vector<int> first, count;
  std::vector<std::int32_t> weight;
};

// K(x) of Keys' cubic with a = -0.5, in the association of the given kernel.
double cubic(double x, ResizeKernel kernel) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x >= 2.0) return 0.0;
  if (is_pillow(kernel)) return (((x - 5) * x + 8) * x - 4) * a;
  return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
}

// The precision torch chooses: the most bits that keep the largest weight inside an int16.
int torch_bits(const std::vector<double>& weights) {
  const double largest = *std::max_element(weights.begin(), weights.end());
  int bits = 0;
  while (bits < kMaxTorchBits &&
         static_cast<int>(0.5 + largest * static_cast<double>(1 << (bits + 1))) < (1 << 15)) {
    ++bits;
  }
  return bits;
}

AxisWeights make_weights(int n_in, int n_out, ResizeKernel kernel) {
  const double scale = static_cast<double>(n_in) / n_out;
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  const double inverse = 1.0 / filter_scale;
  AxisWeights axis;
  axis.n_out = n_out;
  axis.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  axis.first.resize(n_out);
  axis.count.resize(n_out);
  std::vector<double> weights(static_cast<std::size_t>(n_out) * axis.stride);
  for (int o = 0; o < n_out; ++o) {
    const double center = (o + 0.5) * scale;
    const int low = std::max(0, static_cast<int>(center - support + 0.5));
    const int high = std::min(n_in, static_cast<int>(center + support + 0.5));
    double* w = weights.data() + static_cast<std::size_t>(o) * axis.stride;
    double sum = 0.0;
    for (int i = 0; i < high - low; ++i) {
      w[i] = cubic((i + low - center + 0.5) * inverse, kernel);
      sum += w[i];
    }
    for (int i = 0; i < high - low; ++i) {
      if (sum != 0.0) w[i] = is_pillow(kernel) ? w[i] * (1.0 / sum) : w[i] / sum;
    }
    axis.first[o] = low;
    axis.count[o] = high - low;
  }
  axis.bits = is_pillow(kernel) ? kPillowBits : torch_bits(weights);
  axis.weight.resize(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double scaled = weights[i] * (1 << axis.bits);
    axis.weight[i] = static_cast<std::int32_t>(scaled + (scaled < 0 ? -0.5 : 0.5));
  }
  return axis;
}

inline std::uint8_t to_byte(std::int32_t sum, int bits) {
  return static_cast<std::uint8_t>(std::clamp(sum >> bits, 0, 255));
}

Image resample_width(const Image& image, int width, ResizeKernel kernel) {
  const AxisWeights axis = make_weights(image.width, width, kernel);
  const std::int32_t half = 1 << (axis.bits - 1);
  Image out{image.height, width, {}};
  out.rgb.resize(static_cast<std::size_t>(image.height) * width * 3);
  for (int y = 0; y < image.height; ++y) {
    const std::uint8_t* in = image.row(y);
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < width; ++x, to += 3) {
      const std::uint8_t* from = in + std::size_t{3} * axis.first[x];
      const std::int32_t* w = axis.weight.data() + static_cast<std::size_t>(x) * axis.stride;
      std::int32_t red = half, green = half, blue = half;
      for (int i = 0; i < axis.count[x]; ++i, from += 3) {
        red += from[0] * w[i];
        green += from[1] * w[i];
        blue += from[2] * w[i];
      }
      to[0] = to_byte(red, axis.bits);
      to[1] = to_byte(green, axis.bits);
      to[2] = to_byte(blue, axis.bits);
    }
  }
  return out;
}

Image resample_height(const Image& image, int height, ResizeKernel kernel) {
  const AxisWeights axis = make_weights(image.height, height, kernel);
  const std::size_t n = static_cast<std::size_t>(image.width) * 3;
  Image out{height, image.width, {}};
  out.rgb.resize(n * height);
  std::vector<std::int32_t> sums(n);  // whole rows at a time: the inner loop vectorises
  for (int y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), 1 << (axis.bits - 1));
    const std::int32_t* w = axis.weight.data() + static_cast<std::size_t>(y) * axis.stride;
    for (int i = 0; i < axis.count[y]; ++i) {
      const std::uint8_t* from = image.row(axis.first[y] + i);
      const std::int32_t weight = w[i];
      for (std::size_t x = 0; x < n; ++x) sums[x] += from[x] * weight;
    }
    std::uint8_t* to = out.row(y);
    for (std::size_t x = 0; x < n; ++x) to[x] = to_byte(sums[x], axis.bits);
  }
  return out;
}

// Which axis comes first. It changes the result, because the intermediate is rounded to 8 bits.
// Pillow 13 takes the height first where that saves work; all others take the width first.
bool takes_height_first(const Image& image, int height, int width, ResizeKernel kernel) {
  if (kernel != ResizeKernel::pillow || height >= image.height) return false;
  return 2 * (static_cast<std::int64_t>(image.width) - width) <
         static_cast<std::int64_t>(image.height) - height;
}

}  // namespace

Image resize_bicubic(const Image& image, int height, int width, ResizeKernel kernel) {
  QWENVL_CHECK(image.height > 0 && image.width > 0 && height > 0 && width > 0,
               "resize from {} x {} to {} x {}", image.height, image.width, height, width);
  const bool needs_width = width != image.width, needs_height = height != image.height;
  if (!needs_width && !needs_height) return image;
  if (!needs_width) return resample_height(image, height, kernel);
  if (!needs_height) return resample_width(image, width, kernel);
  if (takes_height_first(image, height, width, kernel)) {
    return resample_width(resample_height(image, height, kernel), width, kernel);
  }
  return resample_height(resample_width(image, width, kernel), height, kernel);
}

}  // namespace qwenvl
