#pragma once

#include <cstdint>

namespace lyre {

/// Most physical memory that this process has held so far, mapped files included.
int64_t peak_resident_bytes() noexcept;

/// Physical memory that this process holds now, mapped files included; 0 if the system does not
/// say.
int64_t resident_bytes() noexcept;

}  // namespace lyre
