#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "lyre/base/cuda/memory.h"
#include "lyre/base/result.h"
#include "lyre/codec/cuda/kernels.h"
#include "lyre/codec/snac_weights.h"

namespace lyre::snac_cuda {

struct DeviceUnit {
  SnakeParameters snake_in;
  const float* depthwise = nullptr;  // (7 + 1, C): taps, bias
  SnakeParameters snake_mid;
  PackedMatrix pointwise = nullptr;  // (C, C)
  const float* bias = nullptr;       // (C)
};

struct DeviceBlock {
  SnakeParameters snake;                 // of its input
  PackedMatrix upsample = nullptr;       // (stride * C, 2 * inputs), see ProjectionArgs
  const float* upsample_bias = nullptr;  // (stride * C)
  PackedMatrix noise = nullptr;          // (C, C); null: the model has none
  std::array<DeviceUnit, kResidualUnits> units;
};

/// The decoder in device memory, in the layouts of kernels.h, channels padded. Move-only owner.
struct DeviceWeights {
  /// On the current device. kInvalidArgument for a weight of a product that fp16 cannot hold.
  static Result<DeviceWeights> upload(const SnacDecoderWeights& weights);

  const float* table = nullptr;         // (levels, codebook_size, latent)
  const float* depthwise_in = nullptr;  // (7 + 1, latent)
  PackedMatrix pointwise_in = nullptr;  // (decoder, latent)
  const float* pointwise_bias = nullptr;
  std::vector<DeviceBlock> blocks;
  SnakeParameters snake_out;
  const float* head = nullptr;  // (7, C)
  float head_bias = 0;

  int64_t size_bytes() const noexcept { return memory_.size_bytes(); }

 private:
  cuda::DeviceMemory memory_;
};

}  // namespace lyre::snac_cuda
