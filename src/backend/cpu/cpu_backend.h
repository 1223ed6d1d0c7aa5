// The verbs on this machine's cores: split over threads here, computed by a kernel table.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "backend/cpu/kernel_table.h"

namespace qwenvl {

// n_threads 0: every core this process may use. Kernels: the best usable, or QWENVL_ISA.
std::unique_ptr<Backend> make_cpu_backend(int n_threads);
std::unique_ptr<Backend> make_cpu_backend(int n_threads, const cpu::KernelTable& kernels);

}  // namespace qwenvl
