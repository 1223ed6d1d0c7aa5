// Runs the probe's loops on all threads and keeps the best time: what is left is the machine.
// Before: engine/bench/bench.cpp.   After: probe_<isa>.cpp.
#include "backend/cpu/probe/probe.h"

#include "backend/cpu/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <new>
#include <string_view>
#include <vector>

#include "backend/cpu/probe/probe_table.h"
#include "core/clock.h"
#include "core/settings.h"

namespace qwenvl::cpu {
namespace {

constexpr std::size_t kHugePage = 2u << 20;
constexpr std::size_t kBlockBytes = 4u
                                    << 20;  // one thread reads this much before the next is taken
constexpr double kPassSeconds = 0.01;       // of one timed run of a peak loop

struct Loops {
  const PeakLoop* int8 = &kPortableInt8;
  const PeakLoop* bf16 = nullptr;  // none: f32 serves
  const PeakLoop* f32 = &kPortableF32;
  const ReadLoop* read = &kPortableRead;
};

#if defined(__x86_64__)
struct CpuidLeaf {
  unsigned a = 0, b = 0, c = 0, d = 0;
  bool has_edx(int bit) const { return d >> bit & 1; }
  bool has_eax(int bit) const { return a >> bit & 1; }
};

// Zeros where the processor does not have the leaf. Not all compilers know these features by name.
CpuidLeaf features(unsigned subleaf) {
  CpuidLeaf leaf;
  if (__get_cpuid_count(7, subleaf, &leaf.a, &leaf.b, &leaf.c, &leaf.d) == 0) return {};
  return leaf;
}

// Tables in the order in which each may use all that those before it use; but avx512 goes without
// the products of avx_vnni.
enum Level { kPortable, kAvx2, kAvxVnni, kAvx512, kAvx512Vnni, kAvx512WithBf16, kAmx };

// What may be used: a share of the limit of tiles would say nothing about kernels that do without.
Level allowed_level() {
  constexpr std::string_view kNames[] = {"portable",    "avx2",        "avx_vnni", "avx512",
                                         "avx512_vnni", "avx512_bf16", "amx"};
  const auto found = std::find(std::begin(kNames), std::end(kNames), best_kernels().name);
  const bool is_forced = setting("QWENVL_ISA").has_value();
  return is_forced && found != std::end(kNames) ? Level(found - std::begin(kNames)) : kAmx;
}

Loops best_loops() {
  __builtin_cpu_init();  // also asks the operating system whether it keeps the wide registers
  const Level level = allowed_level();
  Loops loops;
  const CpuidLeaf more = features(1);
  if (level >= kAvx2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    loops = {&kAvx2Int8, nullptr, &kAvx2F32, &kAvx2Read};
    // The table avx512 multiplies bytes as avx2 does.
    if (level != kAvx2 && level != kAvx512 && more.has_eax(4)) loops.int8 = &kAvxVnniInt8;
  }
  if (__builtin_cpu_supports("avx512f")) {
    loops.read = &kAvx512Read;  // memory delivers the same whatever multiplies
    if (level >= kAvx512) loops.f32 = &kAvx512F32;
    if (level >= kAvx512Vnni && __builtin_cpu_supports("avx512vnni")) loops.int8 = &kAvx512VnniInt8;
    if (level >= kAvx512WithBf16 && more.has_eax(5)) loops.bf16 = &kAvx512Bf16;
  }
  if (level == kAmx && may_use_amx()) {
    loops.int8 = &kAmxInt8;
    loops.bf16 = &kAmxBf16;
  }
  return loops;
}
#else
Loops best_loops() { return {}; }
#endif

}  // namespace

struct Probe::State {
  State(int n_threads, std::size_t wanted_bytes) : pool(n_threads) {
    const std::size_t n_blocks = std::max<std::size_t>(wanted_bytes / kBlockBytes, 1);
    n_bytes = n_blocks * kBlockBytes;
    memory = static_cast<std::byte*>(::operator new(n_bytes, std::align_val_t(kHugePage)));
#if defined(__linux__)
    madvise(memory, n_bytes, MADV_HUGEPAGE);  // advice: without it the reading is a little slower
#endif
    pool.parallel_for(static_cast<std::int64_t>(n_blocks), [&](std::int64_t i, int) {
      std::memset(memory + static_cast<std::size_t>(i) * kBlockBytes, static_cast<int>(i) + 1,
                  kBlockBytes);
    });
  }
  ~State() { ::operator delete(memory, std::align_val_t(kHugePage)); }

  // GB/s of one pass over the whole buffer.
  double read_pass(int n_streams) {
    const Stopwatch watch;
    std::atomic<std::uint64_t> sum = 0;  // used, so that no reading is left out
    const std::size_t n_blocks = n_bytes / kBlockBytes;
    pool.parallel_for(static_cast<std::int64_t>(n_blocks), [&](std::int64_t i, int) {
      sum ^= loops.read->run(memory + static_cast<std::size_t>(i) * kBlockBytes, kBlockBytes,
                             n_streams);
    });
    return static_cast<double>(n_bytes) / (watch.milliseconds() * 1e6);
  }

  double read_rate(double seconds) {
    const Stopwatch watch;
    double best = 0;
    do {
      for (const int n_streams : {1, kMaxReadStreams}) best = std::max(best, read_pass(n_streams));
    } while (watch.milliseconds() < seconds * 1e3);
    return best;
  }

  // 10⁹ operations a second of n iterations on every thread.
  double peak_pass(const PeakLoop& loop, std::int64_t n, double& milliseconds) {
    const Stopwatch watch;
    pool.parallel_for(pool.n_threads(), [&](std::int64_t, int) { loop.run(n); });
    milliseconds = watch.milliseconds();
    return static_cast<double>(loop.operations) * static_cast<double>(n) * pool.n_threads() /
           (milliseconds * 1e6);
  }

  double peak_rate(const PeakLoop& loop, double seconds) {
    const Stopwatch watch;
    double best = 0, milliseconds = 0;
    std::int64_t n = 1000;
    for (; milliseconds < kPassSeconds * 1e3; n *= 2) best = peak_pass(loop, n, milliseconds);
    while (watch.milliseconds() < seconds * 1e3)
      best = std::max(best, peak_pass(loop, n / 2, milliseconds));
    return best;
  }

  ThreadPool pool;
  const Loops loops = best_loops();
  std::byte* memory = nullptr;
  std::size_t n_bytes = 0;
};

Probe::Probe(int n_threads, std::size_t buffer_bytes)
    : state_(std::make_unique<State>(n_threads, buffer_bytes)) {}
Probe::~Probe() = default;

ProbeReading Probe::measure(double seconds) {
  const Loops& loops = state_->loops;
  ProbeReading reading;
  reading.read_gbps = state_->read_rate(seconds);
  reading.int8_gops = state_->peak_rate(*loops.int8, seconds);
  reading.f32_gops = state_->peak_rate(*loops.f32, seconds);
  reading.bf16_gops = loops.bf16 ? state_->peak_rate(*loops.bf16, seconds) : reading.f32_gops;
  return reading;
}

ProbeLoops Probe::loops() const {
  const Loops& loops = state_->loops;
  return {loops.read->name, loops.int8->name, (loops.bf16 ? loops.bf16 : loops.f32)->name,
          loops.f32->name};
}

std::size_t Probe::buffer_bytes() const { return state_->n_bytes; }

}  // namespace qwenvl::cpu
