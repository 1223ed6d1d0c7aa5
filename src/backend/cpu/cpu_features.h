// Which kernel tables this machine can run, best first.
#pragma once

#include <string>
#include <vector>

#include "backend/cpu/kernel_table.h"

namespace qwenvl::cpu {

struct KernelChoice {
  const KernelTable* table;
  bool is_usable;
  std::string reason;  // why not, or what it needs
};

// Every table of this build, in order of preference.
std::vector<KernelChoice> kernel_choices();

// The first usable one, or the one QWENVL_ISA names. Throws bad_request when that one cannot run.
const KernelTable& best_kernels();

// Whether the processor has tiles for bytes and bf16 and the operating system, asked once, lets
// this process use them.
bool may_use_amx();

// "AMD EPYC …", from the operating system; "unknown" when it does not tell.
std::string cpu_name();

}  // namespace qwenvl::cpu
