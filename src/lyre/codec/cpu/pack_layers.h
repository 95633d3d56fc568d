#pragma once

#include <functional>
#include <vector>

#include "lyre/base/thread_pool.h"
#include "lyre/codec/cpu/matmul.h"
#include "lyre/codec/snac_weights.h"

namespace lyre::snac_cpu {

/// Packs layers for matmul(): the matrices are there at once, their weights after run(), until when
/// the layers given must stay where they are. The matrices may move.
class LayerPacker {
 public:
  /// A dense convolution; tap j of output row t reads the row j taps further.
  PackedMatrix convolution(const ConvWeights& w);

  /// A transposed convolution as a product of two taps: output phase * channels + c of product t is
  /// position t * stride + phase of the full output, which sums tap `phase` of input t and tap
  /// `stride + phase` of input t - 1. `channels`: the layer's outputs, padded.
  PackedMatrix upsample(const UpsampleWeights& w, int channels);

  void run(ThreadPool& threads);

 private:
  std::vector<std::function<void()>> tasks_;  // each writes memory of its own
};

/// One layer, on this thread.
PackedMatrix pack_convolution(const ConvWeights& w);

}  // namespace lyre::snac_cpu
