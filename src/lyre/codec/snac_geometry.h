#pragma once

#include <cstdint>

#include "lyre/codec/snac_config.h"

namespace lyre {

// Which output samples of the decoder hang on which latents. Pure arithmetic on the layer list:
// depthwise convolutions have 7 taps, transposed ones 2 * stride with ceil(stride / 2) cut in
// front.

/// Taps on each side of the centre of a depthwise convolution, before dilation.
inline constexpr int kDepthwiseReach = 3;
inline constexpr int kDepthwiseTaps = 2 * kDepthwiseReach + 1;
/// Dilations of the three residual units of a block.
inline constexpr int kDilations[] = {1, 3, 9};
inline constexpr int kResidualUnits = 3;

/// What a transposed convolution cuts off in front of its full output.
constexpr int upsample_cut(int stride) { return (stride + 1) / 2; }

/// Zeros on each side of a strided convolution of the encoder (2 * stride taps).
constexpr int downsample_padding(int stride) { return (stride + 1) / 2; }

struct SampleRange {
  int64_t first = 0, last = 0;  // both included
};

/// Samples that the latent at time 0 influences, relative to the first sample of its span:
/// -4757..5268 for the 24 kHz model.
SampleRange influence_of_latent(const SnacConfig& config);

/// Samples that no later latent can change once `latents` latents are known: 512 * latents - 4757
/// for the 24 kHz model, at least 0.
int64_t final_samples(const SnacConfig& config, int64_t latents);

/// Samples of input on which the latent at time 0 of the encoder depends, relative to the first
/// sample of its span.
SampleRange support_of_latent(const SnacConfig& config);

/// Samples pushed but not yet final, at most: 4757 for the 24 kHz model.
int64_t final_delay_samples(const SnacConfig& config);

}  // namespace lyre
