#include "lyre/codec/open_codec.h"

#include <string>

#include "lyre/codec/cpu/cpu_codec.h"
#include "lyre/codec/cuda/cuda_codec.h"
#include "lyre/codec/reference/reference_codec.h"
#include "lyre/codec/snac_weights.h"

namespace lyre {

Result<std::unique_ptr<Codec>> open_codec(const CodecOptions& options, ThreadPool& threads) {
  if (options.max_streams < 1 || options.most_frames_per_push < 1) {
    return Error{ErrorCode::kInvalidArgument,
                 "codec: max_streams and most_frames_per_push must be at least 1, found " +
                     std::to_string(options.max_streams) + " and " +
                     std::to_string(options.most_frames_per_push)};
  }
  LYRE_ASSIGN_OR_RETURN(SnacDecoderWeights weights, load_snac_decoder(options.folder, threads));
  if (options.backend == CodecBackend::kReference) {
    return make_reference_codec(std::move(weights), options.max_streams,
                                options.most_frames_per_push);
  }
  if (options.backend == CodecBackend::kCuda) return make_cuda_codec(weights, options);
  return make_cpu_codec(weights, {options.max_streams, options.most_frames_per_push}, threads);
}

}  // namespace lyre
