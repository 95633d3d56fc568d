#include <algorithm>

#include "lyre/base/check.h"
#include "lyre/codec/cpu/matmul.h"

namespace lyre::snac_cpu {

PackedMatrix::PackedMatrix(int outputs, int taps, int depth,
                           const std::function<float(int, int, int)>& weight,
                           const std::function<float(int)>& bias)
    : outputs_(pad_channels(outputs)),
      taps_(taps),
      depth_(depth),
      weights_(int64_t{outputs_} * taps * depth),
      bias_(outputs_) {
  for (int n = 0; n < outputs; ++n) bias_.data()[n] = bias(n);
  float* out = weights_.data();
  for (int p = 0; p < panels(); ++p) {
    const int width = panel_width(p);
    for (int tap = 0; tap < taps; ++tap) {
      for (int k = 0; k < depth; ++k, out += width) {
        const int first = p * kPanelWidth;
        const int last = std::min(first + width, outputs);
        for (int n = first; n < last; ++n) out[n - first] = weight(n, tap, k);
      }
    }
  }
}

int PackedMatrix::panel_width(int panel) const noexcept {
  return std::min(kPanelWidth, outputs_ - panel * kPanelWidth);
}

const float* PackedMatrix::panel(int index) const noexcept {
  // All panels before this one are full.
  return weights_.data() + int64_t{index} * kPanelWidth * taps_ * depth_;
}

}  // namespace lyre::snac_cpu
