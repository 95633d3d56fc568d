#include "lyre/lm/cuda/attention.h"

#include <cooperative_groups.h>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/lm/cuda/kv_pool.cuh"

// One pass over keys and values with a running maximum (Milakov and Gimelshein, "Online normalizer
// calculation for softmax", 2018), the tokens of a row split over the lanes, warps and blocks of a
// cluster, and merged through shared memory.
namespace lyre::cuda {
namespace {

namespace cg = cooperative_groups;

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;
constexpr int kAtOnce = 4;    // tokens that a lane has in flight
constexpr int kLaneDims = 8;  // elements of a head that a lane holds: 16 bytes of bf16
constexpr float kLog2E = 1.4426950408889634f;

template <bool kFp8>
struct Raw;
template <>
struct Raw<false> {
  uint4 bits;
};
template <>
struct Raw<true> {
  uint2 bits;
  __nv_bfloat16 scale;
};

template <bool kFp8>
__device__ __forceinline__ Raw<kFp8> load(const KvLayer& kv, int64_t offset) {
  Raw<kFp8> raw;
  if constexpr (kFp8) {
    raw.bits =
        *reinterpret_cast<const uint2*>(static_cast<const __nv_fp8_storage_t*>(kv.data) + offset);
    raw.scale = static_cast<const __nv_bfloat16*>(kv.scales)[offset / kKvGroup];
  } else {
    raw.bits = *reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(kv.data) + offset);
  }
  return raw;
}

__device__ __forceinline__ void unpack(const Raw<false>& raw, float (&to)[kLaneDims]) {
  const uint32_t words[4] = {raw.bits.x, raw.bits.y, raw.bits.z, raw.bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = __uint_as_float(words[i] << 16);
    to[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
  }
}

__device__ __forceinline__ void unpack(const Raw<true>& raw, float (&to)[kLaneDims]) {
  const uint32_t words[2] = {raw.bits.x, raw.bits.y};
  const float scale = __bfloat162float(raw.scale);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto pair = static_cast<__nv_fp8x2_storage_t>(words[i / 2] >> (i % 2 * 16));
    const float2 values = __half22float2(__nv_cvt_fp8x2_to_halfraw2(pair, __NV_E4M3));
    to[2 * i] = values.x * scale;
    to[2 * i + 1] = values.y * scale;
  }
}

// What a part of a row's tokens amounts to, for one head: sum of exp2(score - most) and of the
// values with these weights.
template <int kHeadDim, int kHeads>
struct Merge {
  static constexpr int kParts = kThreads / (kHeadDim / kLaneDims);
  float most[kParts][kHeads];
  float sum[kParts][kHeads];
  float values[kParts][kHeads][kHeadDim];
  // Of the block, for its cluster.
  float block_most[kHeads];
  float block_sum[kHeads];
  float block_values[kHeads][kHeadDim];
};

// blockIdx: (split, kv head and its part of the query heads, row).
template <int kHeadDim, int kHeads, bool kFp8>
__global__ void __launch_bounds__(kThreads)
    attention_kernel(const __grid_constant__ AttentionTask task) {
  using Parts = Merge<kHeadDim, kHeads>;
  extern __shared__ __align__(16) char memory[];
  Parts& parts = *reinterpret_cast<Parts*>(memory);
  constexpr int kLanes = kHeadDim / kLaneDims;  // that share a token
  grid_dependency_release();
  grid_dependency_wait();

  const int group = task.heads / task.kv.kv_heads;  // query heads of a kv head
  const int blocks_a_group = group / kHeads;
  const int kv_head = static_cast<int>(blockIdx.y) / blocks_a_group;
  const int first_head = kv_head * group + static_cast<int>(blockIdx.y) % blocks_a_group * kHeads;
  const int t = static_cast<int>(blockIdx.z);
  const DeviceRow row = task.rows[t];
  auto* out =
      static_cast<__nv_bfloat16*>(task.out) + int64_t{t} * task.out_pitch + first_head * kHeadDim;
  const int splits = static_cast<int>(gridDim.x), split = static_cast<int>(blockIdx.x);
  if (row.sequence < 0) {  // the same for the whole cluster
    if (split == 0) {
      for (int i = static_cast<int>(threadIdx.x); i < kHeads * kHeadDim; i += kThreads) {
        out[i] = __float2bfloat16(0.0f);
      }
    }
    return;
  }
  const int length = row.position + 1;
  const int share = (length + splits - 1) / splits;
  const int begin = split * share, end = min(length, begin + share);
  const int part = static_cast<int>(threadIdx.x) / kLanes;  // tokens begin + part, + kParts ...
  const int lane = static_cast<int>(threadIdx.x) % kLanes;

  float queries[kHeads][kLaneDims];
  const float factor = kLog2E * rsqrtf(static_cast<float>(kHeadDim));
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    const float* from =
        task.queries + (int64_t{t} * task.heads + first_head + h) * kHeadDim + lane * kLaneDims;
#pragma unroll
    for (int i = 0; i < kLaneDims; ++i) queries[h][i] = from[i] * factor;
  }
  float most[kHeads], sum[kHeads] = {}, values[kHeads][kLaneDims] = {};
#pragma unroll
  for (int h = 0; h < kHeads; ++h) most[h] = -1e30f;

  // Every lane of a warp goes around as often as any: the shuffles need them all.
  for (int base = begin; base < end; base += Parts::kParts * kAtOnce) {
    Raw<kFp8> keys[kAtOnce], raw_values[kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int token = min(base + u * Parts::kParts + part, end - 1);
      const int64_t at = lane * kLaneDims;
      keys[u] = load<kFp8>(task.kv, kv_offset(task.kv, row.sequence, token, 0, kv_head) + at);
      raw_values[u] = load<kFp8>(task.kv, kv_offset(task.kv, row.sequence, token, 1, kv_head) + at);
    }
    float scores[kAtOnce][kHeads];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      float key[kLaneDims];
      unpack(keys[u], key);
      const bool valid = base + u * Parts::kParts + part < end;
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        float score = 0;
#pragma unroll
        for (int i = 0; i < kLaneDims; ++i) score += queries[h][i] * key[i];
#pragma unroll
        for (int offset = kLanes / 2; offset > 0; offset /= 2) {
          score += __shfl_xor_sync(kWholeWarp, score, offset);
        }
        scores[u][h] = valid ? score : -1e30f;
      }
    }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      float now = most[h];
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) now = fmaxf(now, scores[u][h]);
      const float shrink = exp2f(most[h] - now);
      most[h] = now;
      sum[h] *= shrink;
#pragma unroll
      for (int i = 0; i < kLaneDims; ++i) values[h][i] *= shrink;
    }
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      float value[kLaneDims];
      unpack(raw_values[u], value);
      const bool valid = base + u * Parts::kParts + part < end;
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        const float weight = valid ? exp2f(scores[u][h] - most[h]) : 0.0f;
        sum[h] += weight;
#pragma unroll
        for (int i = 0; i < kLaneDims; ++i) values[h][i] += weight * value[i];
      }
    }
  }
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    if (lane == 0) {
      parts.most[part][h] = most[h];
      parts.sum[part][h] = sum[h];
    }
#pragma unroll
    for (int i = 0; i < kLaneDims; ++i) {
      parts.values[part][h][lane * kLaneDims + i] = values[h][i];
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kHeads * kHeadDim; i += kThreads) {
    const int h = i / kHeadDim, d = i % kHeadDim;
    float all_most = -1e30f;
    for (int p = 0; p < Parts::kParts; ++p) all_most = fmaxf(all_most, parts.most[p][h]);
    float all_sum = 0, all_values = 0;
    for (int p = 0; p < Parts::kParts; ++p) {
      const float shrink = exp2f(parts.most[p][h] - all_most);
      all_sum += parts.sum[p][h] * shrink;
      all_values += parts.values[p][h][d] * shrink;
    }
    if (splits == 1) {
      out[i] = __float2bfloat16(all_values / all_sum);
      continue;
    }
    if (d == 0) {
      parts.block_most[h] = all_most;
      parts.block_sum[h] = all_sum;
    }
    parts.block_values[h][d] = all_values;
  }
  if (splits == 1) return;

  cg::cluster_group cluster = cg::this_cluster();
  cluster.sync();
  // Each block finishes its share of the elements.
  for (int i = split * kThreads + static_cast<int>(threadIdx.x); i < kHeads * kHeadDim;
       i += splits * kThreads) {
    const int h = i / kHeadDim, d = i % kHeadDim;
    float all_most = -1e30f;
    for (int s = 0; s < splits; ++s) {
      all_most =
          fmaxf(all_most, *cluster.map_shared_rank(&parts.block_most[h], static_cast<unsigned>(s)));
    }
    float all_sum = 0, all_values = 0;
    for (int s = 0; s < splits; ++s) {
      const Parts& other = *cluster.map_shared_rank(&parts, static_cast<unsigned>(s));
      const float shrink = exp2f(other.block_most[h] - all_most);
      all_sum += other.block_sum[h] * shrink;
      all_values += other.block_values[h][d] * shrink;
    }
    out[i] = __float2bfloat16(all_values / all_sum);
  }
  cluster.sync();  // nobody leaves while others read his memory
}

template <int kHeadDim, int kHeads>
void launch_as(Queue& queue, const AttentionTask& task, int64_t context) {
  const int group = task.heads / task.kv.kv_heads;
  const bool fp8 = task.kv.scales != nullptr;
  const int64_t token_bytes = int64_t{2} * task.kv.kv_heads * kHeadDim * (fp8 ? 9 : 16) / 8;
  const LaunchShape shape = {.grid = {static_cast<unsigned>(task.splits),
                                      static_cast<unsigned>(task.kv.kv_heads * (group / kHeads)),
                                      static_cast<unsigned>(task.count)},
                             .block = {kThreads},
                             .shared_bytes = sizeof(Merge<kHeadDim, kHeads>),
                             .cluster = task.splits,
                             .overlap_previous = true};
  const KernelWork work = {"lm.attention", token_bytes * context * task.count,
                           int64_t{4} * task.heads * kHeadDim * context * task.count};
  if (fp8) {
    queue.launch(work, shape, attention_kernel<kHeadDim, kHeads, true>, task);
  } else {
    queue.launch(work, shape, attention_kernel<kHeadDim, kHeads, false>, task);
  }
}

template <int kHeadDim>
void launch_for(Queue& queue, const AttentionTask& task, int64_t context) {
  const int group = task.heads / task.kv.kv_heads;
  if (group % 4 == 0) return launch_as<kHeadDim, 4>(queue, task, context);
  if (group % 3 == 0) return launch_as<kHeadDim, 3>(queue, task, context);
  if (group % 2 == 0) return launch_as<kHeadDim, 2>(queue, task, context);
  launch_as<kHeadDim, 1>(queue, task, context);
}

}  // namespace

bool attention_serves(int head_dim) noexcept {
  return head_dim == 32 || head_dim == 64 || head_dim == 128 || head_dim == 256;
}

void attend(Queue& queue, const AttentionTask& task, int64_t context) {
  switch (task.kv.head_dim) {
    case 32:
      return launch_as<32, 1>(queue, task, context);
    case 64:
      return launch_for<64>(queue, task, context);
    case 128:
      return launch_for<128>(queue, task, context);
    case 256:
      return launch_as<256, 1>(queue, task, context);
    default:
      queue.note(cudaErrorInvalidValue, "attention: size of a head");
  }
}

}  // namespace lyre::cuda
