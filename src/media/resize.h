// The resize kernels of the reference, bit for bit.
#pragma once

#include "media/image.h"

namespace qwenvl {

enum class ResizeKernel {
  pillow,       // Pillow 13, 8-bit: 22-bit coefficients, order of the axes by the sizes
  pillow12,     // Pillow until version 12: the same, always the width first
  torch_int16,  // torchvision's uint8 CPU kernel: int16 coefficients
};

// Antialiased bicubic, a = -0.5. Equal size returns a copy.
Image resize_bicubic(const Image& image, int height, int width, ResizeKernel kernel);

// The same filter in float32, as torchvision resizes float tensors: neither rounded nor clamped.
FloatImage resize_bicubic_float(const Image& image, int height, int width);
// Clamped to 0 … 255 and rounded, halves to even.
Image rounded(const FloatImage& image);

}  // namespace qwenvl
