#include "lyre/base/check.h"
#include "lyre/codec/cpu/elementwise.h"
#include "lyre/codec/snac_geometry.h"

namespace lyre::snac_cpu {

Snake::Snake(const SnakeWeights& w)
    : alpha(pad_channels(static_cast<int>(w.alpha.size()))), inverse(alpha.size()) {
  for (size_t c = 0; c < w.alpha.size(); ++c) {
    alpha.data()[c] = w.alpha[c];
    inverse.data()[c] = 1.0f / (w.alpha[c] + 1e-9f);
  }
}

Depthwise::Depthwise(const ConvWeights& w)
    : weight(int64_t{kDepthwiseTaps} * pad_channels(w.outputs)),
      bias(pad_channels(w.outputs)),
      stride(pad_channels(w.outputs)) {
  LYRE_CHECK(w.taps == kDepthwiseTaps && w.inputs_per_output == 1);
  for (int c = 0; c < w.outputs; ++c) {
    bias.data()[c] = w.bias[static_cast<size_t>(c)];
    for (int tap = 0; tap < w.taps; ++tap) {
      weight.data()[tap * stride + c] = w.weight[static_cast<size_t>(c * w.taps + tap)];
    }
  }
}

Head::Head(const ConvWeights& w)
    : weight(int64_t{kDepthwiseTaps} * pad_channels(w.inputs_per_output)),
      bias(w.bias[0]),
      stride(pad_channels(w.inputs_per_output)) {
  LYRE_CHECK(w.taps == kDepthwiseTaps && w.outputs == 1);
  for (int c = 0; c < w.inputs_per_output; ++c) {
    for (int tap = 0; tap < w.taps; ++tap) {
      weight.data()[tap * stride + c] = w.weight[static_cast<size_t>(c * w.taps + tap)];
    }
  }
}

}  // namespace lyre::snac_cpu
