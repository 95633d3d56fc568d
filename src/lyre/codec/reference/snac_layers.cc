#include "lyre/codec/reference/snac_layers.h"

#include <algorithm>
#include <cmath>

#include "lyre/base/check.h"
#include "lyre/codec/snac_geometry.h"

namespace lyre::reference {

Signal convolve(const ConvWeights& w, const Signal& x, int stride, int dilation, int padding) {
  const bool depthwise = w.inputs_per_output == 1 && w.outputs == x.channels;
  LYRE_CHECK(depthwise || w.inputs_per_output == x.channels);
  const int64_t reach = int64_t{w.taps - 1} * dilation;
  Signal y(w.outputs, (x.steps + 2 * padding - reach - 1) / stride + 1);
  for (int o = 0; o < w.outputs; ++o) {
    float* out = y.row(o);
    std::fill_n(out, y.steps, w.bias.empty() ? 0.0f : w.bias[static_cast<size_t>(o)]);
    for (int i = 0; i < w.inputs_per_output; ++i) {
      const float* in = x.row(depthwise ? o : i);
      for (int k = 0; k < w.taps; ++k) {
        const int64_t tap = (int64_t{o} * w.inputs_per_output + i) * w.taps + k;
        const float weight = w.weight[static_cast<size_t>(tap)];
        const int64_t shift = int64_t{k} * dilation - padding;
        // Outputs t with 0 <= t * stride + shift < steps.
        const int64_t first = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
        const int64_t past = x.steps - shift;
        const int64_t end = past <= 0 ? 0 : std::min(y.steps, (past + stride - 1) / stride);
        for (int64_t t = first; t < end; ++t) out[t] += weight * in[t * stride + shift];
      }
    }
  }
  return y;
}

Signal convolve_same(const ConvWeights& w, const Signal& x, int dilation) {
  return convolve(w, x, 1, dilation, kDepthwiseReach * dilation);
}

Signal upsample(const UpsampleWeights& w, const Signal& x) {
  const int64_t cut = upsample_cut(w.stride);
  Signal y(w.outputs, x.steps * w.stride);
  for (int o = 0; o < w.outputs; ++o) {
    float* out = y.row(o);
    std::fill_n(out, y.steps, w.bias[static_cast<size_t>(o)]);
    for (int i = 0; i < w.inputs; ++i) {
      const float* in = x.row(i);
      for (int k = 0; k < 2 * w.stride; ++k) {
        const int64_t tap = (int64_t{i} * w.outputs + o) * 2 * w.stride + k;
        const float weight = w.weight[static_cast<size_t>(tap)];
        for (int64_t t = 0; t < x.steps; ++t) {
          const int64_t at = t * w.stride + k - cut;
          if (at >= 0 && at < y.steps) out[at] += weight * in[t];
        }
      }
    }
  }
  return y;
}

Signal snake(const SnakeWeights& w, const Signal& x) {
  LYRE_CHECK(static_cast<int>(w.alpha.size()) == x.channels);
  Signal y(x.channels, x.steps);
  for (int c = 0; c < x.channels; ++c) {
    const float alpha = w.alpha[static_cast<size_t>(c)];
    for (int64_t t = 0; t < x.steps; ++t) {
      const float sine = std::sin(alpha * x.row(c)[t]);
      y.row(c)[t] = x.row(c)[t] + sine * sine / (alpha + 1e-9f);
    }
  }
  return y;
}

Signal add_noise(const ConvWeights& w, const Signal& x, std::span<const float> noise) {
  LYRE_CHECK(static_cast<int64_t>(noise.size()) == x.steps);
  Signal y = pointwise(w, x);
  for (int c = 0; c < y.channels; ++c) {
    for (int64_t t = 0; t < y.steps; ++t) {
      y.row(c)[t] = x.row(c)[t] + noise[static_cast<size_t>(t)] * y.row(c)[t];
    }
  }
  return y;
}

Signal residual_unit(const ResidualUnitWeights& w, const Signal& x) {
  Signal y = convolve_same(w.depthwise, snake(w.snake_in, x), w.dilation);
  y = pointwise(w.pointwise, snake(w.snake_mid, y));
  for (size_t i = 0; i < y.values.size(); ++i) y.values[i] += x.values[i];
  return y;
}

}  // namespace lyre::reference
