#pragma once

#include <memory>
#include <span>
#include <string>

#include "lyre/audio/audio_format.h"
#include "lyre/base/result.h"

namespace lyre {

/// Encodes mono samples in [-1, 1] as they come. The bytes of all calls, one after another, are one
/// file or stream that a player may begin to play before it ends. One thread at a time.
class AudioEncoder {
 public:
  /// source_rate_hz: of the samples. speed: 0.25 to 4, tempo without change of pitch.
  /// kInvalidArgument names what the encoding cannot do.
  static Result<AudioEncoder> open(const AudioFormat& format, int source_rate_hz,
                                   double speed = 1.0);
  ~AudioEncoder();
  AudioEncoder(AudioEncoder&&) noexcept;
  AudioEncoder& operator=(AudioEncoder&&) noexcept;

  /// Appends the bytes that are ready; may append none.
  Status encode(std::span<const float> samples, std::string& out);
  /// Appends the rest. Called once, after the last encode().
  Status finish(std::string& out);

 private:
  class Impl;
  explicit AudioEncoder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lyre
