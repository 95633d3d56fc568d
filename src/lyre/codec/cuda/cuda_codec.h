#pragma once

#include <memory>

#include "lyre/base/result.h"
#include "lyre/codec/codec.h"
#include "lyre/codec/open_codec.h"
#include "lyre/codec/snac_weights.h"

namespace lyre {

/// On GPU options.device. kUnavailable in a build without CUDA.
Result<std::unique_ptr<Codec>> make_cuda_codec(const SnacDecoderWeights& weights,
                                               const CodecOptions& options);

}  // namespace lyre
