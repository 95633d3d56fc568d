#pragma once

#include <memory>

#include "lyre/base/result.h"
#include "lyre/codec/codec.h"
#include "lyre/codec/open_codec.h"
#include "lyre/codec/snac_weights.h"

namespace lyre {

struct CudaCodecTuning {
  /// Frames that go through the layers together. Larger rounds fill the GPU better, until the rows
  /// between two kernels leave its cache: a frame of the 24 kHz model has 1 MiB of them. A push of
  /// more takes several rounds, one behind the other. At most 256.
  int most_slots = 64;
};

/// On GPU options.device. kUnavailable in a build without CUDA; kInvalidArgument for a model that
/// fp16 products cannot hold.
Result<std::unique_ptr<Codec>> make_cuda_codec(const SnacDecoderWeights& weights,
                                               const CodecOptions& options,
                                               const CudaCodecTuning& tuning = {});

}  // namespace lyre
