// What this machine has.
#pragma once

#include <cstdint>

namespace qwenvl {

// Bytes this process may still take: the system's available memory, or what the cgroup leaves.
std::uint64_t available_memory_bytes();
std::uint64_t total_memory_bytes();

// What the general allocator keeps of freed memory goes back to the system.
void give_back_spare_memory() noexcept;

}  // namespace qwenvl
