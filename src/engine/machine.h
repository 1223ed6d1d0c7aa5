// What this machine has.
#pragma once

#include <cstdint>
#include <string>

namespace qwenvl {

// Bytes this process may still take: the system's available memory, or what the cgroup leaves.
std::uint64_t available_memory_bytes();
std::uint64_t total_memory_bytes();

// A line of this process's /proc/self/status in bytes: "VmRSS" (resident now), "VmHWM" (most ever),
// "RssAnon" (resident and backed by no file). 0 where the system does not tell.
std::int64_t own_memory_bytes(const std::string& key);

// What the general allocator keeps of freed memory goes back to the system.
void give_back_spare_memory() noexcept;

}  // namespace qwenvl
