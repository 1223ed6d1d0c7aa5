// How much processor time the control groups of Linux allow this process.
#pragma once

#include <filesystem>
#include <optional>

namespace qwenvl {

// Processors' worth of time (2.5 = two and a half), the smallest quota on the way to the root; none
// when nothing limits it or it cannot be read. `memberships` is /proc/self/cgroup, `root` the place
// where the hierarchies are mounted.
std::optional<double> cpu_quota(const std::filesystem::path& memberships,
                                const std::filesystem::path& root);

}  // namespace qwenvl
