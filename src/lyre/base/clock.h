#pragma once

#include <chrono>

namespace lyre {

/// Time for durations and deadlines: never set back.
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

inline double milliseconds(Clock::duration duration) noexcept {
  return std::chrono::duration<double, std::milli>(duration).count();
}
inline double milliseconds_since(TimePoint start) noexcept {
  return milliseconds(Clock::now() - start);
}

}  // namespace lyre
