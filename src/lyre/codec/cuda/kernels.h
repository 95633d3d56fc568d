#pragma once

#include <cuda_fp16.h>
#include <vector_types.h>

#include <cstdint>

#include "lyre/base/cuda/queue.h"
#include "lyre/base/result.h"
#include "lyre/codec/cuda/stream_plan.h"

// The kernels of the decoder: what they take, and their launchers, which choose the tile and
// launch. A kernel finds everything of a round in its slots, so that one captured graph serves all
// rounds of so many slots. Letters: S slots, R rows of a slot, C channels (padded), N columns of a
// product, K its depth.
//
// The residual stream and its state are fp32. Products take fp16 operands and add in fp32: the
// mantissa is that of tf32, at twice the rate. A sum is formed in the order of K whatever the tile,
// so a sample is the same in any company.
namespace lyre::snac_cuda {

/// Matrix (N, K) in fp16 as the tensor cores take it, see packed_weights.h. K a multiple of 32, N
/// padded with zeros to a multiple of kColumnPadding.
using PackedMatrix = const uint4*;
inline constexpr int kColumnPadding = 64;

/// x + sin(alpha x)^2 * inverse
struct SnakeParameters {
  const float* alpha = nullptr;    // (C)
  const float* inverse = nullptr;  // (C); 1 / (alpha + 1e-9)
};

struct Round {
  const Slot* slots = nullptr;  // (slot_count)
  int slot_count = 0;           // with unused ones
  unsigned char* states = nullptr;
  int64_t state_bytes = 0;  // stream s has its states at (2 * s + parity) * state_bytes
};

/// Codes -> latents -> depthwise k7.
struct LatentsArgs {
  Round round;
  const float* table = nullptr;  // (levels, codebook_size, C): row of the codebook through out_proj
  int levels = 0;
  int codebook_size = 0;
  const float* depthwise = nullptr;  // (7 + 1, C): taps, bias
  int rows = 0, channels = 0;
  int64_t delay = 0;
  int64_t state_offset = 0;
  __half* y = nullptr;  // (S, R, C)
};
void put_latents(cuda::Queue& queue, const LatentsArgs& args);

/// y = W [x(t); x(t - 1)] + bias: a transposed convolution, whose stride output rows lie side by
/// side in the columns; or W x(t) with taps = 1. Then Snake, if there is one, and fp16.
struct ProjectionArgs {
  const char* name = "";
  Round round;
  const __half* x = nullptr;  // (S, in_rows, in_channels)
  int in_rows = 0, in_channels = 0;
  int taps = 1;
  int64_t state_offset = 0;        // of taps = 2: keeps one row
  PackedMatrix weights = nullptr;  // (stride * channels, taps * in_channels)
  const float* bias = nullptr;     // (stride * channels)
  int stride = 1, channels = 0;
  int64_t delay = 0;  // of y
  SnakeParameters snake;
  PackedMatrix noise = nullptr;  // (channels, channels): adds n * (noise y); null: does not
  int noise_block = 0;           // key of the noise
  float* y = nullptr;            // (S, in_rows * stride, channels), or
  __half* y_half = nullptr;      // the same, with Snake
};
void put_projection(cuda::Queue& queue, const ProjectionArgs& args);

/// Whether put_projection() takes `noise` with so much work: a block must have all channels of its
/// rows, which with few rows leaves too few blocks. Both ways give the same values.
bool projection_adds_noise(int slot_count, int in_rows, int stride, int channels);

/// y = x + n * (W x)
struct NoiseArgs {
  Round round;
  const float* x = nullptr;        // (S, R, C)
  PackedMatrix weights = nullptr;  // (C, C)
  int rows = 0, channels = 0;
  int block = 0;  // key of the noise
  int64_t delay = 0;
  float* y = nullptr;  // (S, R, C)
};
void put_noise(cuda::Queue& queue, const NoiseArgs& args);

/// y = x + W snake(depthwise(snake(x))) + bias. Then Snake, if there is one, and fp16.
struct ResidualUnitArgs {
  Round round;
  const float* x = nullptr;  // (S, R, C)
  SnakeParameters snake_in;
  const float* depthwise = nullptr;  // (7 + 1, C): taps, bias
  SnakeParameters snake_mid;
  PackedMatrix weights = nullptr;  // (C, C)
  const float* bias = nullptr;     // (C)
  SnakeParameters snake_out;
  int rows = 0, channels = 0, dilation = 1;
  int64_t delay = 0;         // of y
  int64_t state_offset = 0;  // keeps 6 * dilation rows of x
  float* y = nullptr;        // (S, R, C), or
  __half* y_half = nullptr;  // the same, with Snake
};
void put_residual_unit(cuda::Queue& queue, const ResidualUnitArgs& args);

/// k7 to one channel, tanh.
struct HeadArgs {
  Round round;
  const __half* x = nullptr;       // (S, R, C)
  const float* weights = nullptr;  // (7, C)
  float bias = 0;
  int rows = 0, channels = 0;
  int64_t state_offset = 0;  // keeps 6 rows of x
  float* pcm = nullptr;      // (S, R)
};
void put_head(cuda::Queue& queue, const HeadArgs& args);

/// Widest layer that the kernels' shared memory takes.
inline constexpr int kMostChannels = 4096;

/// Once for the current device, before the first launch: loads the kernels (which a capture must
/// not) and lets them use what shared memory they may need.
Status prepare_latents(int rows);
Status prepare_projection();
Status prepare_noise();
Status prepare_residual_unit();
Status prepare_head();

}  // namespace lyre::snac_cuda
