// Asks the processor what it has and picks a kernel table.
// Before: the machine and QWENVL_ISA.   After: cpu_backend.cpp calls the table.
#include "backend/cpu/cpu_features.h"

#include <fstream>

#include "core/settings.h"

namespace qwenvl::cpu {

std::vector<KernelChoice> kernel_choices() {
  std::vector<KernelChoice> choices;
#if defined(__x86_64__)
  __builtin_cpu_init();  // also asks the operating system whether it keeps the wide registers
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  choices.push_back({&kernels_avx512, has_avx512, "needs AVX-512 F, BW, DQ, VL and FMA"});
  choices.push_back({&kernels_avx2, has_avx2, "needs AVX2 and FMA"});
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
