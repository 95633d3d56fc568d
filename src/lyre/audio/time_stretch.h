#pragma once

#include <memory>
#include <span>
#include <vector>

namespace lyre {

/// Slower or faster speech of the same pitch, by SoundTouch: pieces of some 50 ms are laid over one
/// another where they are most alike. One thread at a time.
class TimeStretch {
 public:
  static constexpr double kLeastSpeed = 0.25;
  static constexpr double kMostSpeed = 4.0;

  /// speed: 2 takes half the time.
  TimeStretch(int sample_rate_hz, double speed);
  ~TimeStretch();
  TimeStretch(TimeStretch&&) noexcept;
  TimeStretch& operator=(TimeStretch&&) noexcept;

  /// Appends what is ready.
  void push(std::span<const float> samples, std::vector<float>& out);
  /// Appends the rest: in all, the number of samples that were pushed, divided by the speed.
  void finish(std::vector<float>& out);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lyre
