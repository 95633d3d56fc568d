#pragma once

#include <cstdint>
#include "lyre/codec/cpu/aligned_floats.h"

namespace lyre::snac_cpu {

/// Output channels of one packed panel: two AVX-512 vectors.
inline constexpr int kPanelWidth = 32;

/// A weight matrix in the order in which the kernel reads it: panels of kPanelWidth output
/// channels (the last may be half as wide), in each the rows of one input after the other. Inputs
/// are `taps` activation rows of `depth` channels; that makes a transposed convolution of two taps
/// one product too.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  /// With biases of 0; the weights are not initialised, see pack_layers.h.
  PackedMatrix(int outputs, int taps, int depth);

  int outputs() const noexcept { return outputs_; }  // padded to kLaneBlock
  int taps() const noexcept { return taps_; }
  int depth() const noexcept { return depth_; }
  int panels() const noexcept { return (outputs_ + kPanelWidth - 1) / kPanelWidth; }
  int panel_width(int panel) const noexcept;
  const float* panel(int index) const noexcept;  // (taps * depth, panel_width)
  float* panel(int index) noexcept;
  const float* bias() const noexcept { return bias_.data(); }  // (outputs)
  float* bias() noexcept { return bias_.data(); }
  int64_t size_bytes() const noexcept { return weights_.size_bytes() + bias_.size_bytes(); }

 private:
  int outputs_ = 0;
  int taps_ = 0;
  int depth_ = 0;
  AlignedFloats weights_;
  AlignedFloats bias_;
};

struct PanelRange {
  int begin = 0, end = 0;
};

/// y[t][n] = bias[n] + add[t][n] + sum over taps j and inputs k, in this order, of
/// x[t * x_stride + j * tap_stride + k] * w[j][k][n], for t < rows and the outputs n of the panels.
/// Each output is one chain of multiply-adds whose order does not depend on rows or panels: however
/// the work is cut, the result is bitwise the same.
/// y: (rows, y_stride), add: (rows, add_stride) or null; y may be add.
struct MatmulArgs {
  const float* x = nullptr;
  int64_t x_stride = 0;    // floats from one output row's inputs to the next's
  int64_t tap_stride = 0;  // floats from one tap's inputs to the next's
  int64_t rows = 0;
  const float* add = nullptr;
  int64_t add_stride = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
};
void matmul(const PackedMatrix& w, PanelRange panels, const MatmulArgs& args);

}  // namespace lyre::snac_cpu
