#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/codec/cuda/stream_plan.h"

namespace lyre::snac_cuda {

// As fill_noise() of codec/noise.h.
__device__ __forceinline__ float noise_at(const Slot& slot, int block, int64_t time) {
  const auto draw = static_cast<uint64_t>(time) / 4;
  const int lane = static_cast<int>(time % 4);
  const cuda::Philox philox =
      cuda::philox4x32(static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32),
                       static_cast<uint32_t>(block), 0, slot.seed_low, slot.seed_high);
  const uint32_t a = lane < 2 ? philox.words[0] : philox.words[2];
  const uint32_t b = lane < 2 ? philox.words[1] : philox.words[3];
  const float u = (static_cast<float>(a >> 8) + 1.0f) * 0x1.0p-24f;
  const float half_turns = static_cast<float>(b >> 8) * 0x1.0p-23f;
  const float radius = sqrtf(-2.0f * logf(u));
  return radius * (lane % 2 == 0 ? cospif(half_turns) : sinpif(half_turns));
}

/// Of row `row` of a slot at a layer with so many rows and that delay; zero before the speech and
/// for a stream without noise.
__device__ __forceinline__ float noise_of_row(const Slot& slot, int block, int rows, int row,
                                              int64_t delay) {
  const int64_t time = int64_t{slot.position} * rows + row - delay;
  return slot.noise != 0 && time >= 0 ? noise_at(slot, block, time) : 0.0f;
}

}  // namespace lyre::snac_cuda
