// Memory of this machine, or of the cgroup that this process lives in.
#include "engine/machine.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace qwenvl {
namespace {

// A line "MemAvailable:   123 kB" of a file in /proc, in bytes; 0 when it is not there.
std::int64_t proc_bytes(const char* file_name, const std::string& key) {
  std::ifstream file(file_name);
  for (std::string name, rest; file >> name; std::getline(file, rest)) {
    std::int64_t kilobytes = 0;
    if (name == key + ":" && file >> kilobytes) return kilobytes << 10;
  }
  return 0;
}

std::uint64_t meminfo(const char* key) {
  return static_cast<std::uint64_t>(proc_bytes("/proc/meminfo", key));
}

// A number in a file of the cgroup; the largest when there is none or it says "max".
std::uint64_t cgroup_bytes(const char* file_name) {
  std::ifstream file(std::string("/sys/fs/cgroup/") + file_name);
  std::uint64_t bytes = 0;
  return file >> bytes ? bytes : std::numeric_limits<std::uint64_t>::max();
}

}  // namespace

std::uint64_t available_memory_bytes() {
  const std::uint64_t limit = cgroup_bytes("memory.max"), used = cgroup_bytes("memory.current");
  const std::uint64_t in_cgroup =
      limit == std::numeric_limits<std::uint64_t>::max() ? limit : limit - std::min(limit, used);
  return std::min(meminfo("MemAvailable"), in_cgroup);
}

std::uint64_t total_memory_bytes() {
  return std::min(meminfo("MemTotal"), cgroup_bytes("memory.max"));
}

std::int64_t own_memory_bytes(const std::string& key) {
  return proc_bytes("/proc/self/status", key);
}

void give_back_spare_memory() noexcept {
#if defined(__GLIBC__)
  ::malloc_trim(0);
#endif
}

}  // namespace qwenvl
