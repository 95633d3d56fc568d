#pragma once

#include <memory>
#include <span>
#include <string>

#include "lyre/audio/audio_format.h"

namespace lyre {

/// mp3, opus, aac and flac by libavcodec, each in the container in which it is streamed. libavcodec
/// is loaded when the first is opened, which takes some 25 ms. One thread at a time.
class FfmpegEncoder {
 public:
  /// format: as resolve_format() gives it. Errors have FFmpeg's words.
  static Result<FfmpegEncoder> open(const AudioFormat& format);
  ~FfmpegEncoder();
  FfmpegEncoder(FfmpegEncoder&&) noexcept;
  FfmpegEncoder& operator=(FfmpegEncoder&&) noexcept;

  /// Appends what is ready. The samples are rounded to 16 bits first, as for all encodings.
  Status encode(std::span<const float> samples, std::string& out);
  /// Appends the rest; nothing, if there were no samples.
  Status finish(std::string& out);

 private:
  class Impl;
  explicit FfmpegEncoder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lyre
