#pragma once

#include <cstdint>

#include "lyre/codec/cpu/aligned_floats.h"
#include "lyre/codec/snac_weights.h"

namespace lyre::snac_cpu {

// Kernels over activations (time steps, channels): row-major, rows padded to kLaneBlock channels.
// `channels` are the ones to compute, multiples of kLaneBlock. Every element depends on its own
// inputs in a fixed order only, never on how the work is cut.

struct ChannelRange {
  int begin = 0, end = 0;
};

/// alpha and 1 / (alpha + 1e-9), both 0 in the padding, where Snake is then the identity on 0.
struct Snake {
  Snake() = default;
  explicit Snake(const SnakeWeights& w);
  AlignedFloats alpha;    // (C)
  AlignedFloats inverse;  // (C)
};

struct Depthwise {
  Depthwise() = default;
  explicit Depthwise(const ConvWeights& w);
  AlignedFloats weight;  // (taps, C)
  AlignedFloats bias;    // (C)
  int stride = 0;        // C, padded
};

/// k7 to one channel.
struct Head {
  Head() = default;
  explicit Head(const ConvWeights& w);
  AlignedFloats weight;  // (taps, C)
  float bias = 0;
  int stride = 0;  // C, padded
};

/// Rows of one array, one after the other in memory.
struct Rows {
  const float* data = nullptr;
  int64_t stride = 0;
};
struct MutableRows {
  float* data = nullptr;
  int64_t stride = 0;
};

/// out[t] = snake(in[t]); in place is fine.
void snake_rows(const Snake& w, Rows in, MutableRows out, int64_t rows, ChannelRange channels);

/// sum[t] = x[t] + noise[t] * product[t]; out[t] = snake(sum[t])
void noise_snake_rows(const Snake& w, Rows x, Rows product, const float* noise, MutableRows sum,
                      MutableRows out, int64_t rows, ChannelRange channels);

/// out[t] = bias + sum over taps j of weight[j] * in[t + j * dilation], then Snake if there is one.
void depthwise_rows(const Depthwise& w, const Snake* snake, int dilation, Rows in, MutableRows out,
                    int64_t rows, ChannelRange channels);

/// out[t] = tanh(bias + sum over taps j and channels of weight[j][c] * in[t + j][c])
void head_rows(const Head& w, Rows in, float* out, int64_t rows);

}  // namespace lyre::snac_cpu
