// What a machine can do at most, one instruction set at a time: loops that only read, and loops
// that only multiply and add in registers. Before: probe.cpp picks what this machine can run.
// After: their times are the limits that `qwenvl bench` measures everything against.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qwenvl::cpu {

// Sum, dot product or tile product repeated in registers: no memory is touched.
struct PeakLoop {
  const char* name;         // "AMX int8", "AVX-512 VNNI", …
  std::int64_t operations;  // of one iteration; a multiplication and an addition are two
  void (*run)(std::int64_t n) noexcept;  // n iterations on the calling thread
};

// Reads [begin, begin + n_bytes) as n_streams equal pieces side by side and returns something that
// depends on every byte. begin is 64-byte aligned, n_bytes a multiple of 1024 · n_streams.
struct ReadLoop {
  const char* name;
  std::uint64_t (*run)(const std::byte* begin, std::size_t n_bytes, int n_streams) noexcept;
};

// n_streams above this are not used.
inline constexpr int kMaxReadStreams = 4;

extern const PeakLoop kPortableInt8, kPortableF32;
extern const ReadLoop kPortableRead;
#if defined(__x86_64__)
extern const PeakLoop kAvx2Int8, kAvxVnniInt8, kAvx2F32;
extern const ReadLoop kAvx2Read;
extern const PeakLoop kAvx512VnniInt8, kAvx512Bf16, kAvx512F32;
extern const ReadLoop kAvx512Read;
// Only after the operating system has allowed tiles (probe.cpp asks it).
extern const PeakLoop kAmxInt8, kAmxBf16;
#endif

}  // namespace qwenvl::cpu
