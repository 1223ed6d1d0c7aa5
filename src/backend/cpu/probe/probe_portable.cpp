// The probe's loops for any machine, as the compiler makes them.
#include <array>
#include <cstring>

#include "backend/cpu/probe/probe_table.h"

namespace qwenvl::cpu {
namespace {

constexpr int kNumbers = 64;  // sums kept side by side: enough to hide the latency of an addition

// Keeps the compiler from computing the loop ahead of time.
template <class T>
void keep(T* values) {
  __asm__ volatile("" : : "r"(values) : "memory");
}

void int8_peak(std::int64_t n) noexcept {
  std::array<std::int8_t, kNumbers> a{}, b{};
  std::array<std::int32_t, kNumbers> sums{};
  a.fill(3);
  b.fill(5);
  for (; n > 0; --n) {
    for (int i = 0; i < kNumbers; ++i) sums[i] += std::int32_t{a[i]} * b[i];
    keep(a.data());
  }
  keep(sums.data());
}

void f32_peak(std::int64_t n) noexcept {
  std::array<float, kNumbers> sums{};
  float a = 1.0f, b = 0.5f;
  keep(&a);
  keep(&b);
  for (; n > 0; --n) {
    for (int i = 0; i < kNumbers; ++i) sums[i] += a * b;
  }
  keep(sums.data());
}

std::uint64_t read(const std::byte* begin, std::size_t n_bytes, int n_streams) noexcept {
  const std::size_t stride = n_bytes / static_cast<std::size_t>(n_streams);
  std::array<std::uint64_t, 8> sums{};
  for (std::size_t at = 0; at < stride; at += 64) {
    for (int s = 0; s < n_streams; ++s) {
      const std::byte* from = begin + static_cast<std::size_t>(s) * stride + at;
      __builtin_prefetch(from + 1024, 0, 1);
      std::array<std::uint64_t, 8> line;
      std::memcpy(line.data(), from, sizeof line);
      for (int i = 0; i < 8; ++i) sums[i] ^= line[i];
    }
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t part : sums) sum ^= part;
  return sum;
}

}  // namespace

constinit const PeakLoop kPortableInt8{"portable int8", 2 * kNumbers, &int8_peak};
constinit const PeakLoop kPortableF32{"portable float32", 2 * kNumbers, &f32_peak};
constinit const ReadLoop kPortableRead{"portable", &read};

}  // namespace qwenvl::cpu
