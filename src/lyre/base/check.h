#pragma once

namespace lyre {

/// Prints the broken condition to standard error and aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace lyre

/// Our own bug, never bad input: on in release builds too.
#define LYRE_CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::lyre::check_failed(#condition, __FILE__, __LINE__))
