#pragma once

#include <cstdint>

#include "lyre/lm/cuda/device_types.h"
#include "lyre/lm/cuda/kv_pool.h"

namespace lyre::cuda {

/// Where the products of the qkv projection go.
struct QkvOutlet {
  const DeviceRow* rows = nullptr;  // (T)
  const float* cosines = nullptr;   // (max_sequence_tokens, D / 2)
  const float* sines = nullptr;
  float* queries = nullptr;  // (T, heads * D), rotated, in the order of stored_dim()
  int heads = 0;
  KvLayer kv;
};

}  // namespace lyre::cuda
