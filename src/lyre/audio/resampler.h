#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lyre/base/result.h"

namespace lyre {

/// Mono samples of one rate to another, by libswresample, which is loaded at the first use. One
/// thread at a time.
class Resampler {
 public:
  static Result<Resampler> open(int from_hz, int to_hz);
  ~Resampler();
  Resampler(Resampler&&) noexcept;
  Resampler& operator=(Resampler&&) noexcept;

  /// Appends what is ready.
  Status push(std::span<const float> samples, std::vector<float>& out);
  /// Appends the rest: in all, as many as last as long as those that were pushed, rounded up.
  Status finish(std::vector<float>& out);

 private:
  class Impl;
  explicit Resampler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lyre
