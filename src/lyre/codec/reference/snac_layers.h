#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lyre/codec/snac_weights.h"

namespace lyre::reference {

/// Channels by time steps, row-major: at(c, t). The layout of PyTorch, one utterance.
struct Signal {
  int channels = 0;
  int64_t steps = 0;
  std::vector<float> values;  // (channels, steps)

  Signal() = default;
  Signal(int channel_count, int64_t step_count)
      : channels(channel_count),
        steps(step_count),
        values(static_cast<size_t>(channel_count * step_count)) {}
  float* row(int channel) { return values.data() + channel * steps; }
  const float* row(int channel) const { return values.data() + channel * steps; }
};

// The layers of SNAC as their definitions say, in plain loops: the oracle of every other backend.

/// y[o][t] = b[o] + sum_{i,k} w[o][i][k] x[i][t * stride + k * dilation - padding], zeros outside.
/// Depthwise when w.inputs_per_output is 1 and there are as many outputs as inputs.
Signal convolve(const ConvWeights& w, const Signal& x, int stride, int dilation, int padding);

/// 1x1.
inline Signal pointwise(const ConvWeights& w, const Signal& x) { return convolve(w, x, 1, 1, 0); }

/// k7, padded to keep the length.
Signal convolve_same(const ConvWeights& w, const Signal& x, int dilation);

/// Transposed convolution: x[t] goes to outputs t * stride + k - ceil(stride / 2); length times
/// stride.
Signal upsample(const UpsampleWeights& w, const Signal& x);

/// x + sin(alpha x)^2 / (alpha + 1e-9)
Signal snake(const SnakeWeights& w, const Signal& x);

/// x + noise * (W x); noise has one value a step.
Signal add_noise(const ConvWeights& w, const Signal& x, std::span<const float> noise);

Signal residual_unit(const ResidualUnitWeights& w, const Signal& x);

}  // namespace lyre::reference
