#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "lyre/codec/cpu/elementwise.h"
#include "lyre/codec/cpu/matmul.h"
#include "lyre/codec/snac_geometry.h"
#include "lyre/codec/snac_weights.h"

namespace lyre::snac_cpu {

/// Rows that a stream keeps for one layer, within its state.
struct KeptRows {
  int64_t offset = 0;  // floats
  int64_t stride = 0;  // floats a row
};

struct UnitPlan {
  int dilation = 1;
  int64_t reach = 0;  // 3 * dilation
  Depthwise depthwise;
  Snake snake_mid;
  PackedMatrix pointwise;
  KeptRows tail;      // 2 * reach rows of Snake's output
  KeptRows residual;  // reach rows of the unit's input
};

struct BlockPlan {
  int stride = 1;
  int channels = 0;       // out, padded
  PackedMatrix upsample;  // (stride * channels) outputs, two taps
  PackedMatrix noise;     // no panels when the config has no noise
  Snake snake_first;      // of the first unit
  std::array<UnitPlan, kResidualUnits> units;
  /// after[k] follows unit k: the Snake of the next unit, of the next block, or of the head.
  std::array<Snake, kResidualUnits> after;
  KeptRows tail;  // one row before the transposed convolution
};

/// The decoder's weights in the layout of the kernels, and where a stream keeps what.
struct DecoderPlan {
  DecoderPlan(const SnacDecoderWeights& weights, ThreadPool& threads);

  SnacConfig config;
  int latent_channels = 0;                    // padded
  std::vector<std::vector<float>> codebooks;  // per level: (codebook_size, codebook_dim)
  std::vector<PackedMatrix> projections;      // per level
  Depthwise depthwise_in;
  KeptRows latent_tail;
  PackedMatrix pointwise_in;
  Snake snake_in;  // of the first block
  std::vector<BlockPlan> blocks;
  Head head;
  KeptRows head_tail;

  int64_t state_floats = 0;  // one stream
  int64_t weight_bytes = 0;
  int64_t parameters = 0;
};

}  // namespace lyre::snac_cpu
