#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace lyre {

/// Most physical memory that this process has held so far, mapped files included.
int64_t peak_resident_bytes() noexcept;

/// Physical memory that this process holds now, mapped files included; 0 if the system does not
/// say.
int64_t resident_bytes() noexcept;

/// Physical memory that this process may still take without somebody being killed for it: the least
/// of what the system has (MemAvailable) and of what every cgroup above the process leaves. Nothing
/// if the system does not say.
std::optional<int64_t> available_memory_bytes();

/// The same of given files: `meminfo` (/proc/meminfo), `proc_self_cgroup` (contents of
/// /proc/self/cgroup), `mount` (/sys/fs/cgroup). Version 2, and the memory controller of version 1.
/// A cgroup leaves limit - usage, and what it holds of files that have not been read for a while.
std::optional<int64_t> available_memory_bytes(const std::filesystem::path& meminfo,
                                              const std::filesystem::path& mount,
                                              std::string_view proc_self_cgroup);

}  // namespace lyre
