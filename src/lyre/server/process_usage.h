#pragma once

#include <cstdint>
#include <optional>

namespace lyre::server {

// Of this process, from /proc; nothing where that is not to be read.
std::optional<int64_t> resident_bytes();
std::optional<int64_t> open_files();

/// Raises the soft limit of open files towards what so many connections need, as far as the hard
/// limit lets. Returns the limit then.
int64_t raise_open_files(int64_t wanted) noexcept;

}  // namespace lyre::server
