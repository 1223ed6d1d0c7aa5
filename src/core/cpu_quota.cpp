// Reads the CPU quota of the process's control groups, versions 2 and 1, and counts the usable
// cores. Containers limit time, not cores: a pool of 64 threads on a quota of 2 would be stopped
// most of the time.
#include "core/cpu_quota.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>

#include "core/thread_pool.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;

using Quota = std::optional<double>;

Quota smaller(Quota a, Quota b) {
  if (a && b) return std::min(*a, *b);
  return a ? a : b;
}

Quota ratio(const std::string& quota, const std::string& period) {
  // "max" (version 2) and -1 (version 1) mean no limit: neither reads as a positive number.
  std::istringstream quota_text(quota), period_text(period);
  double quota_value = 0, period_value = 0;
  if (!(quota_text >> quota_value) || !(period_text >> period_value)) return {};
  if (!(quota_value > 0) || !(period_value > 0)) return {};
  return quota_value / period_value;
}

std::string first_word(const fs::path& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

Quota quota_in(const fs::path& group, bool is_version_2) {
  if (!is_version_2) {
    return ratio(first_word(group / "cpu.cfs_quota_us"), first_word(group / "cpu.cfs_period_us"));
  }
  std::ifstream file(group / "cpu.max");
  std::string quota, period;
  file >> quota >> period;
  return ratio(quota, period);
}

// The smallest quota of a group and those above it. Inside a container the path may not exist below
// the mount; then only the root, which is the container's own group, answers.
Quota quota_upwards(const fs::path& root, fs::path group, bool is_version_2) {
  Quota result = quota_in(root, is_version_2);
  if (group.string().find("..") != std::string::npos) return result;  // outside of what is mounted
  for (; group.has_relative_path(); group = group.parent_path()) {
    result = smaller(result, quota_in(root / group.relative_path(), is_version_2));
  }
  return result;
}

// Is "cpu" in "cpu,cpuacct"?
bool has_cpu(std::string_view controllers) {
  while (!controllers.empty()) {
    const std::size_t end = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, end) == "cpu") return true;
    controllers.remove_prefix(std::min(end + 1, controllers.size()));
  }
  return false;
}

int cores_in_affinity_mask() {
  // The kernel refuses masks smaller than its own, whose size is not stated: grow until it fits.
  for (int n = 1024; n <= 1 << 16; n *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> mask(
        CPU_ALLOC(static_cast<std::size_t>(n)), [](cpu_set_t* m) { CPU_FREE(m); });
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(n));
    if (mask && ::sched_getaffinity(0, bytes, mask.get()) == 0)
      return CPU_COUNT_S(bytes, mask.get());
  }
  return 1;
}

}  // namespace

Quota cpu_quota(const fs::path& memberships, const fs::path& root) {
  Quota result;
  std::ifstream file(memberships);
  for (std::string line; std::getline(file, line);) {  // "hierarchy:controllers:/path"
    const std::size_t first = line.find(':');
    const std::size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) {
      result = smaller(result, quota_upwards(root, group, true));
      result = smaller(result, quota_upwards(root / "unified", group, true));
    } else if (has_cpu(controllers)) {
      result = smaller(result, quota_upwards(root / "cpu", group, false));
      result = smaller(result, quota_upwards(root / controllers, group, false));
    }
  }
  return result;
}

int available_cores() {
  const int cores = cores_in_affinity_mask();
  const Quota quota = cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
  // Rounded up: a quota of 1.5 is used best by two threads that now and then wait.
  const int allowed = quota ? static_cast<int>(std::min(std::ceil(*quota), 65536.0)) : cores;
  return std::max(1, std::min(cores, allowed));
}

}  // namespace qwenvl
