#pragma once

#include "lyre/lm/cuda/device_types.h"
#include "lyre/lm/cuda/kv_pool.cuh"
#include "lyre/lm/cuda/qkv_outlet.h"

namespace lyre::cuda {

/// What becomes of two products of the qkv projection: rows `tile` * 16 + r and + 8 for token t.
/// Queries and keys are rotated, keys and values go to their page. The threads 8k to 8k + 7 call
/// together, with r = 0..7 and the rest the same; nothing is put where `valid` is false.
__device__ __forceinline__ void put_qkv(const QkvOutlet& out, int tile, int r, int t, float first,
                                        float second, bool valid) {
  const int head_dim = out.kv.head_dim;
  const int row = tile * kTileRows;
  const int head = row / head_dim;
  const int group = row % head_dim;  // first element within the head
  const DeviceRow where = valid ? out.rows[t] : DeviceRow{-1, 0, 0};
  valid = valid && where.sequence >= 0;
  const int key_heads = out.heads + out.kv.kv_heads;
  if (head < key_heads) {
    const int pair = group / kTileRows * 8 + r;
    const int64_t at = int64_t{where.position} * (head_dim / 2) + pair;
    const float cosine = valid ? out.cosines[at] : 1.0f, sine = valid ? out.sines[at] : 0.0f;
    const float turned = first * cosine - second * sine;
    second = second * cosine + first * sine;
    first = turned;
  }
  if (head < out.heads) {
    if (!valid) return;
    float* queries = out.queries + int64_t{t} * out.heads * head_dim + row + r;
    queries[0] = first;
    queries[8] = second;
    return;
  }
  const int which = head < key_heads ? 0 : 1;
  const int kv_head = head - (which == 0 ? out.heads : key_heads);
  // Tiles beyond the last value head are padding.
  valid = valid && kv_head < out.kv.kv_heads;
  const int64_t offset =
      valid ? kv_offset(out.kv, where.sequence, where.position, which, kv_head) + group : 0;
  store_kv_pair(out.kv, offset, r, first, second, valid);
}

}  // namespace lyre::cuda
