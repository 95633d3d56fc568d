#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/engine/engine.h"

namespace lyre {

/// Seven codes in the order in which the language model writes them (codec/code_frame.h).
using FrameCodes = std::array<int32_t, 7>;

/// A codec without a language model, for `lyre codec encode|decode`. One thread.
class CodecTool {
 public:
  static Result<CodecTool> open(const std::filesystem::path& codec_folder,
                                BackendChoice backend = BackendChoice::kCpu, int threads = 0,
                                int device = 0);
  CodecTool(CodecTool&&) noexcept;
  CodecTool& operator=(CodecTool&&) noexcept;
  ~CodecTool();

  int sample_rate_hz() const noexcept;
  int codebook_size() const noexcept;
  int samples_per_frame() const noexcept;

  /// Speech to codes. kInvalidArgument unless the rate is the codec's (nothing is resampled). The
  /// last frame is filled up with silence.
  Result<std::vector<FrameCodes>> encode(std::span<const float> samples, int sample_rate_hz);
  /// Codes to speech, samples_per_frame() for each frame. noise_seed: empty decodes without noise.
  Result<std::vector<float>> decode(std::span<const FrameCodes> frames,
                                    std::optional<uint64_t> noise_seed);

 private:
  class Impl;
  explicit CodecTool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lyre
