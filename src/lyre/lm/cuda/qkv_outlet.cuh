#pragma once

#include "lyre/lm/cuda/device_types.h"
#include "lyre/lm/cuda/kv_pool.cuh"
#include "lyre/lm/cuda/qkv_outlet.h"

namespace lyre::cuda {

/// Where two products of the qkv projection go, rows `tile` * 16 + r and + 8 for a token, and by
/// what they are turned.
struct QkvPlace {
  int64_t offset;  // kv: of the first element of their group
  float cosine, sine;
  bool valid;
};

__device__ __forceinline__ QkvPlace find_qkv_place(const QkvOutlet& out, int tile, int r, int t,
                                                   bool valid) {
  const int head_dim = out.kv.head_dim;
  const int head = tile * kTileRows / head_dim;
  const int group = tile * kTileRows % head_dim;  // first element within the head
  const DeviceRow where = valid ? out.rows[t] : DeviceRow{-1, 0, 0};
  QkvPlace place = {0, 1.0f, 0.0f, valid && where.sequence >= 0};
  if (!place.valid) return place;
  const int key_heads = out.heads + out.kv.kv_heads;
  if (head < key_heads) {
    const int pair = group / kTileRows * 8 + r;
    const int64_t at = int64_t{where.position} * (head_dim / 2) + pair;
    place.cosine = out.cosines[at];
    place.sine = out.sines[at];
  }
  if (head < out.heads) return place;
  const int which = head < key_heads ? 0 : 1;
  const int kv_head = head - (which == 0 ? out.heads : key_heads);
  // Tiles beyond the last value head are padding.
  place.valid = kv_head < out.kv.kv_heads;
  if (place.valid) {
    place.offset = kv_offset(out.kv, where.sequence, where.position, which, kv_head) + group;
  }
  return place;
}

/// Queries and keys are rotated, keys and values go to their page. The threads 8k to 8k + 7 call
/// together, with r = 0..7 and the rest the same.
__device__ __forceinline__ void put_qkv(const QkvOutlet& out, const QkvPlace& place, int tile,
                                        int r, int t, float first, float second) {
  // Of values the angle is zero.
  const float turned = first * place.cosine - second * place.sine;
  second = second * place.cosine + first * place.sine;
  if (tile * kTileRows / out.kv.head_dim < out.heads) {
    if (!place.valid) return;
    float* queries = out.queries + int64_t{t} * out.heads * out.kv.head_dim + tile * kTileRows + r;
    queries[0] = turned;
    queries[8] = second;
    return;
  }
  store_kv_pair(out.kv, place.offset, r, turned, second, place.valid);
}

}  // namespace lyre::cuda
