#include "lyre/codec/cpu/pack_layers.h"

namespace lyre::snac_cpu {
namespace {

float bias_of(const std::vector<float>& bias, int output) {
  return bias.empty() ? 0.0f : bias[static_cast<size_t>(output)];
}

}  // namespace

PackedMatrix pack_convolution(const ConvWeights& w) {
  return PackedMatrix(
      w.outputs, w.taps, w.inputs_per_output,
      [&](int output, int tap, int input) {
        const int64_t row = int64_t{output} * w.inputs_per_output + input;
        return w.weight[static_cast<size_t>(row * w.taps + tap)];
      },
      [&](int output) { return bias_of(w.bias, output); });
}

PackedMatrix pack_upsample(const UpsampleWeights& w, int channels) {
  const auto is_padding = [&](int output) { return output % channels >= w.outputs; };
  return PackedMatrix(
      w.stride * channels, 2, w.inputs,
      [&](int output, int tap, int input) {
        if (is_padding(output)) return 0.0f;
        const int k = output / channels + (tap == 0 ? w.stride : 0);
        const int64_t row = int64_t{input} * w.outputs + output % channels;
        return w.weight[static_cast<size_t>(row * 2 * w.stride + k)];
      },
      [&](int output) { return is_padding(output) ? 0.0f : bias_of(w.bias, output % channels); });
}

}  // namespace lyre::snac_cpu
