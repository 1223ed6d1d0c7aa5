// Asks the processor what it has and picks a kernel table.
// Before: the machine and QWENVL_ISA.   After: cpu_backend.cpp calls the table.
#include "backend/cpu/cpu_features.h"

#include <fstream>

#include "core/settings.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace qwenvl::cpu {
namespace {

[[maybe_unused]] KernelTable with_packed(KernelTable table, const char* name,
                                         const PackedKernels& packed,
                                         const Bf16Attention* bf16_attention,
                                         const Bf16Linear* bf16_linear) {
  table.name = name;
  table.packed = &packed;
  table.bf16_attention = bf16_attention;
  table.bf16_linear = bf16_linear;
  return table;
}

#if defined(__x86_64__)
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

// Not every compiler knows this feature by name.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}
#elif defined(__aarch64__)
bool has_dotprod() {
#if defined(__linux__)
  constexpr unsigned long kDotProducts = 1ul << 20;  // HWCAP_ASIMDDP
  return getauxval(AT_HWCAP) & kDotProducts;
#else
  return true;   // every processor of the other systems we know has them
#endif
}

bool has_matrix_products() {
#if defined(__linux__)
  constexpr unsigned long kInt8 = 1ul << 13, kBf16 = 1ul << 14;  // HWCAP2_I8MM, HWCAP2_BF16
  constexpr unsigned long kBoth = kInt8 | kBf16;
  return (getauxval(AT_HWCAP2) & kBoth) == kBoth;
#else
  return false;  // some processors of the other systems lack them
#endif
}
#endif

}  // namespace

std::vector<KernelChoice> kernel_choices() {
  std::vector<KernelChoice> choices;
#if defined(__x86_64__)
  __builtin_cpu_init();  // also asks the operating system whether it keeps the wide registers
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
  const bool has_avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  const bool has_vnni = has_avx512 && __builtin_cpu_supports("avx512vnni");
  const bool has_bf16 = has_vnni && __builtin_cpu_supports("avx512bf16");
  const bool has_amx = has_bf16 && may_use_amx();
  // The same arithmetic on plain numbers, with byte products of their own.
  static const KernelTable amx =
      with_packed(kernels_avx512, "amx", packed_amx, &bf16_attention_amx, &bf16_linear_amx);
  static const PackedKernels byte_products = [] {
    PackedKernels kernels = packed_avx512_vnni;
    kernels.fetches_near = !__builtin_cpu_is("amd");
    return kernels;
  }();
  static const KernelTable bf16_products = with_packed(kernels_avx512, "avx512_bf16", byte_products,
                                                       &bf16_attention_avx512, &bf16_linear_avx512);
  static const KernelTable vnni =
      with_packed(kernels_avx512, "avx512_vnni", byte_products, nullptr, nullptr);
  choices.push_back(
      {&amx, has_amx,
       "needs AMX with INT8 and BF16, allowed by the system, and AVX-512 VNNI and BF16"});
  const KernelChoice bf16_choice = {&bf16_products, has_bf16,
                                    "needs AVX-512 F, BW, DQ, VL, VNNI, BF16 and FMA"};
  // AMD forms twice as many products of bf16 as of float32 in the same time; Intel, measured, no
  // more, and then laying them out in pairs does not pay.
  if (__builtin_cpu_is("amd")) choices.push_back(bf16_choice);
  choices.push_back({&vnni, has_vnni, "needs AVX-512 F, BW, DQ, VL, VNNI and FMA"});
  if (!__builtin_cpu_is("amd")) choices.push_back(bf16_choice);
  choices.push_back({&kernels_avx512, has_avx512, "needs AVX-512 F, BW, DQ, VL and FMA"});
  static const KernelTable avx_vnni =
      with_packed(kernels_avx2, "avx_vnni", packed_avx_vnni, nullptr, nullptr);
  choices.push_back({&avx_vnni, has_avx2 && has_avx_vnni(), "needs AVX-VNNI, AVX2, FMA and F16C"});
  choices.push_back({&kernels_avx2, has_avx2, "needs AVX2, FMA and F16C"});
#elif defined(__aarch64__)
  static const KernelTable dotprod =
      with_packed(kernels_neon, "neon_dotprod", packed_neon_dotprod, nullptr, nullptr);
  static const KernelTable i8mm =
      with_packed(kernels_neon, "neon_i8mm", packed_neon_i8mm, nullptr, &bf16_linear_neon);
  choices.push_back({&i8mm, has_dotprod() && has_matrix_products(),
                     "needs matrix products of bytes and of bf16 (i8mm, bf16) and dotprod"});
  choices.push_back({&dotprod, has_dotprod(), "needs byte dot products (dotprod)"});
  choices.push_back({&kernels_neon, true, "every 64-bit Arm processor"});
#endif
  choices.push_back({&kernels_portable, true, "runs anywhere"});
  return choices;
}

const KernelTable& best_kernels() {
  const std::string forced = setting("QWENVL_ISA").value_or("");
  std::string names;
  for (const KernelChoice& choice : kernel_choices()) {
    if (forced.empty() ? choice.is_usable : forced == choice.table->name) {
      if (!choice.is_usable) {
        fail(ErrorKind::bad_request, "QWENVL_ISA: this machine cannot run {}: {}", forced,
             choice.reason);
      }
      return *choice.table;
    }
    names += (names.empty() ? "" : ", ") + std::string(choice.table->name);
  }
  fail(ErrorKind::bad_request, "QWENVL_ISA: found {}, expected one of {}", quoted(forced), names);
}

bool may_use_amx() {
#if defined(__x86_64__) && defined(__linux__)
  // Not every compiler knows these features by name.
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24, kInt8 = 1u << 25;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kBf16) || !(d & kTiles) || !(d & kInt8)) {
    return false;
  }
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  static const bool is_allowed = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return is_allowed;
#else
  return false;
#endif
}

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0 && line.find(':') != std::string::npos) {
      return line.substr(line.find(':') + 2);
    }
  }
  return "unknown";
}

}  // namespace qwenvl::cpu
