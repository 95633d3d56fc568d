#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "lyre/lm/cuda/kv_pool.h"

namespace lyre::cuda {

/// First element of a token's head.
__device__ __forceinline__ int64_t kv_offset(const KvLayer& kv, int sequence, int position,
                                             int which, int head) {
  const int64_t page = kv.pages[int64_t{sequence} * kv.max_pages + position / kKvPageTokens];
  return (((page * 2 + which) * kv.kv_heads + head) * kKvPageTokens + position % kKvPageTokens) *
         kv.head_dim;
}

/// Stores elements r and r + 8 of one group of kKvGroup; the 8 neighbouring lanes r = 0..7 of a
/// group (threads 8k to 8k + 7) call together. Nothing is stored where `valid` is false.
__device__ __forceinline__ void store_kv_pair(const KvLayer& kv, int64_t group_offset, int r,
                                              float first, float second, bool valid) {
  if (kv.scales == nullptr) {
    if (!valid) return;
    auto* data = static_cast<__nv_bfloat16*>(kv.data) + group_offset;
    data[r] = __float2bfloat16(first);
    data[r + 8] = __float2bfloat16(second);
    return;
  }
  const unsigned group = 0xffu << (threadIdx.x % 32 / 8 * 8);
  float largest = fmaxf(fabsf(first), fabsf(second));
#pragma unroll
  for (int offset = 4; offset > 0; offset /= 2) {
    largest = fmaxf(largest, __shfl_xor_sync(group, largest, offset));
  }
  if (!valid) return;
  constexpr float kMostE4m3 = 448.0f;
  // Rounded up: nothing may end beyond the range.
  const __nv_bfloat16 scale = __float2bfloat16_ru(largest / kMostE4m3);
  const float by = __bfloat162float(scale) > 0 ? 1.0f / __bfloat162float(scale) : 0.0f;
  auto* data = static_cast<__nv_fp8_storage_t*>(kv.data) + group_offset;
  data[r] = __nv_cvt_float_to_fp8(first * by, __NV_SATFINITE, __NV_E4M3);
  data[r + 8] = __nv_cvt_float_to_fp8(second * by, __NV_SATFINITE, __NV_E4M3);
  if (r == 0) static_cast<__nv_bfloat16*>(kv.scales)[group_offset / kKvGroup] = scale;
}

}  // namespace lyre::cuda
