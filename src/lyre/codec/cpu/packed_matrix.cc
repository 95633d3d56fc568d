#include <algorithm>

#include "lyre/base/check.h"
#include "lyre/codec/cpu/matmul.h"

namespace lyre::snac_cpu {

PackedMatrix::PackedMatrix(int outputs, int taps, int depth)
    : outputs_(pad_channels(outputs)),
      taps_(taps),
      depth_(depth),
      weights_(AlignedFloats::untouched(int64_t{outputs_} * taps * depth)),
      bias_(outputs_) {}

int PackedMatrix::panel_width(int panel) const noexcept {
  return std::min(kPanelWidth, outputs_ - panel * kPanelWidth);
}

const float* PackedMatrix::panel(int index) const noexcept {
  return const_cast<PackedMatrix*>(this)->panel(index);
}

float* PackedMatrix::panel(int index) noexcept {
  // All panels before this one are full.
  return weights_.data() + int64_t{index} * kPanelWidth * taps_ * depth_;
}

}  // namespace lyre::snac_cpu
