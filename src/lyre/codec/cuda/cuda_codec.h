#pragma once

#include <memory>

#include "lyre/base/result.h"
#include "lyre/codec/codec.h"
#include "lyre/codec/open_codec.h"
#include "lyre/codec/snac_weights.h"

namespace lyre {

struct CudaCodecTuning {
  /// Frames that go through the layers together; a push of more takes several rounds, one behind
  /// the other. Larger rounds fill the GPU better (measured: docs/performance-codec-cuda.md) and
  /// take work memory, 1.3 MiB a frame of the 24 kHz model. At most 256, and never more than the
  /// streams can give.
  int most_slots = 256;
};

/// On GPU options.device. kUnavailable in a build without CUDA; kInvalidArgument for a model that
/// fp16 products cannot hold.
Result<std::unique_ptr<Codec>> make_cuda_codec(const SnacDecoderWeights& weights,
                                               const CodecOptions& options,
                                               const CudaCodecTuning& tuning = {});

}  // namespace lyre
