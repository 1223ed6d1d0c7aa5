// Back end names → back ends.
#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"
#include "core/thread_pool.h"

namespace qwenvl {

std::unique_ptr<Backend> make_backend(const std::string& name, int n_threads) {
  if (n_threads < 0 || n_threads > ThreadPool::kMaxThreads) {
    fail(ErrorKind::bad_request, "threads: found {}, expected 0 (all cores) to {}", n_threads,
         ThreadPool::kMaxThreads);
  }
  if (name == "auto" || name == "cpu") return make_cpu_backend(n_threads);
  if (name == "reference") return make_reference_backend();
  fail(ErrorKind::bad_request, "backend: found {}, expected one of auto, cpu, reference",
       quoted(name));
}

}  // namespace qwenvl
