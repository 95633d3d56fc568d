#pragma once

#include "lyre/codec/cpu/matmul.h"
#include "lyre/codec/snac_weights.h"

namespace lyre::snac_cpu {

/// A dense convolution; tap j of output row t reads the row j taps further.
PackedMatrix pack_convolution(const ConvWeights& w);

/// A transposed convolution as a product of two taps: output phase * channels + c of product t is
/// position t * stride + phase of the full output, which sums tap `phase` of input t and tap
/// `stride + phase` of input t - 1. `channels`: the layer's outputs, padded.
PackedMatrix pack_upsample(const UpsampleWeights& w, int channels);

}  // namespace lyre::snac_cpu
