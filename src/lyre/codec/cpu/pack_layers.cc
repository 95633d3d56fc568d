#include "lyre/codec/cpu/pack_layers.h"

#include <algorithm>

namespace lyre::snac_cpu {
namespace {

// Weights (outputs, inputs, taps) to one panel (taps, inputs, width).
void pack_panel(const ConvWeights& w, int first_output, int width, float* out) {
  const int filled = std::clamp(w.outputs - first_output, 0, width);
  const int64_t row = int64_t{w.inputs_per_output} * w.taps;
  const float* const from = w.weight.data() + first_output * row;
  for (int tap = 0; tap < w.taps; ++tap) {
    for (int64_t input = 0; input < w.inputs_per_output; ++input, out += width) {
      for (int n = 0; n < filled; ++n) out[n] = from[n * row + input * w.taps + tap];
      std::fill(out + filled, out + width, 0.0f);
    }
  }
}

// Where the weights of some channels of one phase go: rows of kLaneBlock floats, `width` apart, one
// an input, and tap 1 after tap 0.
struct PhaseColumns {
  float* first = nullptr;
  int width = 0;
};

// Weights (inputs, outputs, 2 * stride): kLaneBlock channels to the columns of all phases. Some
// inputs at a time, so that a line of the source is still in the cache for the next phase.
void pack_channels(const UpsampleWeights& w, int first_channel,
                   const std::vector<PhaseColumns>& phases) {
  constexpr int kInputsAtOnce = 64;
  const int filled = std::clamp(w.outputs - first_channel, 0, kLaneBlock);
  const int64_t taps = 2 * int64_t{w.stride}, row = w.outputs * taps;
  for (int begin = 0; begin < w.inputs; begin += kInputsAtOnce) {
    const int end = std::min(w.inputs, begin + kInputsAtOnce);
    for (int phase = 0; phase < w.stride; ++phase) {
      const PhaseColumns& to = phases[static_cast<size_t>(phase)];
      for (int tap = 0; tap < 2; ++tap) {
        // Tap 0 of the product is the earlier input, which the later taps of the layer reach.
        const int64_t k = phase + (tap == 0 ? w.stride : 0);
        for (int input = begin; input < end; ++input) {
          const float* const from = w.weight.data() + input * row + first_channel * taps + k;
          float* const out = to.first + (int64_t{tap} * w.inputs + input) * to.width;
          for (int c = 0; c < filled; ++c) out[c] = from[c * taps];
          std::fill(out + filled, out + kLaneBlock, 0.0f);
        }
      }
    }
  }
}

}  // namespace

PackedMatrix LayerPacker::convolution(const ConvWeights& w) {
  PackedMatrix packed(w.outputs, w.taps, w.inputs_per_output);
  std::copy(w.bias.begin(), w.bias.end(), packed.bias());
  for (int p = 0; p < packed.panels(); ++p) {
    tasks_.push_back([&w, first = p * kPanelWidth, width = packed.panel_width(p),
                      out = packed.panel(p)] { pack_panel(w, first, width, out); });
  }
  return packed;
}

PackedMatrix LayerPacker::upsample(const UpsampleWeights& w, int channels) {
  PackedMatrix packed(w.stride * channels, 2, w.inputs);
  for (int phase = 0; phase < w.stride; ++phase) {
    std::copy(w.bias.begin(), w.bias.end(), packed.bias() + phase * channels);
  }
  for (int channel = 0; channel < channels; channel += kLaneBlock) {
    std::vector<PhaseColumns> phases;
    for (int phase = 0; phase < w.stride; ++phase) {
      const int output = phase * channels + channel, panel = output / kPanelWidth;
      phases.push_back({packed.panel(panel) + output % kPanelWidth, packed.panel_width(panel)});
    }
    tasks_.push_back(
        [&w, channel, phases = std::move(phases)] { pack_channels(w, channel, phases); });
  }
  return packed;
}

void LayerPacker::run(ThreadPool& threads) {
  threads.deal(static_cast<int>(tasks_.size()),
               [this](int task, int /*thread*/) { tasks_[static_cast<size_t>(task)](); });
  tasks_.clear();
}

PackedMatrix pack_convolution(const ConvWeights& w) {
  LayerPacker packer;
  PackedMatrix packed = packer.convolution(w);
  ThreadPool alone(1);
  packer.run(alone);
  return packed;
}

}  // namespace lyre::snac_cpu
