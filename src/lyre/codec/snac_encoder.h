#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/thread_pool.h"
#include "lyre/codec/code_frame.h"
#include "lyre/codec/snac_weights.h"

namespace lyre {

/// Speech to codes with the kernels of the cpu backend. Memory does not grow with the length of the
/// speech: it is taken in windows wide enough that no code depends on where they are cut.
/// One thread at a time.
class SnacEncoder {
 public:
  /// folder: SNAC folder, as for open_codec(). The pool must outlive the encoder.
  static Result<std::unique_ptr<SnacEncoder>> open(const std::filesystem::path& folder,
                                                   ThreadPool& threads);
  SnacEncoder(SnacEncoderWeights weights, ThreadPool& threads);
  ~SnacEncoder();
  SnacEncoder(const SnacEncoder&) = delete;
  SnacEncoder& operator=(const SnacEncoder&) = delete;

  const SnacConfig& config() const noexcept;

  /// pcm: mono at config().sampling_rate_hz, in [-1, 1]. Zeros are appended up to a whole frame, as
  /// the original does; an empty speech has no frames. kInvalidArgument for a sample that is not
  /// finite.
  Result<std::vector<CodeFrame>> encode(std::span<const float> pcm);

 private:
  class Layers;
  std::unique_ptr<Layers> layers_;
};

}  // namespace lyre
