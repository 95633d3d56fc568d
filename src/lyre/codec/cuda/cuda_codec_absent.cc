#include "lyre/codec/cuda/cuda_codec.h"

namespace lyre {

Result<std::unique_ptr<Codec>> make_cuda_codec(const SnacDecoderWeights&, const CodecOptions&,
                                               const CudaCodecTuning&) {
  return Error{ErrorCode::kUnavailable, "codec: this build has no CUDA backend"};
}

}  // namespace lyre
