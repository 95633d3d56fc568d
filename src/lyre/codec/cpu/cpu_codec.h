#pragma once

#include <memory>

#include "lyre/base/thread_pool.h"
#include "lyre/codec/codec.h"
#include "lyre/codec/snac_weights.h"

namespace lyre {

struct CpuCodecOptions {
  int max_streams = 16;
  int most_frames_per_push = 8;
};

/// Stateful, exact streaming decoder: each column of each layer is computed once, each sample is
/// handed out as soon as it is final. `weights` are only read during the call; the pool must
/// outlive the codec.
std::unique_ptr<Codec> make_cpu_codec(const SnacDecoderWeights& weights,
                                      const CpuCodecOptions& options, ThreadPool& threads);

}  // namespace lyre
