#include "lyre/lm/cuda/attention.h"

#include <cooperative_groups.h>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/base/cuda/memory_barrier.cuh"
#include "lyre/lm/cuda/kv_pool.cuh"

// One pass over keys and values with a running maximum (Milakov and Gimelshein, "Online normalizer
// calculation for softmax", 2018), the tokens of a row split over the lanes, warps and blocks of a
// cluster, and merged through shared memory. Keys and values of a head lie together in their page:
// they come by bulk copies, some stages ahead of the arithmetic.
namespace lyre::cuda {
namespace {

namespace cg = cooperative_groups;

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;
constexpr int kStages = 3;
constexpr int kLaneDims = 8;   // elements of a head that a lane holds: 16 bytes of bf16
constexpr int kShareStep = 8;  // tokens; scales of so many are a multiple of 16 bytes for any head
constexpr float kLog2E = 1.4426950408889634f;

template <int kHeadDim, bool kFp8>
struct Sizes {
  static constexpr int kLanes = kHeadDim / kLaneDims;                  // that share a token
  static constexpr int kParts = kThreads / kLanes;                     // tokens at a time
  static constexpr int kAtOnce = kHeadDim >= 128 ? 4 : kHeadDim / 32;  // a lane, of a stage
  static constexpr int kStageTokens = kParts * kAtOnce;
  static constexpr int kTokenBytes = kHeadDim * (kFp8 ? 1 : 2);
  static constexpr int kScaleBytes = kFp8 ? kHeadDim / kKvGroup * 2 : 0;  // of a token
  static constexpr int kStageBytes = kStageTokens * 2 * (kTokenBytes + kScaleBytes);
};

// What a part of a row's tokens amounts to, for one head: sum of exp2(score - most) and of the
// values with these weights.
template <int kHeadDim, int kHeads>
struct Merge {
  static constexpr int kParts = kThreads / (kHeadDim / kLaneDims);
  float most[kParts][kHeads];
  float sum[kParts][kHeads];
  float values[kParts][kHeads][kHeadDim];
};

template <int kHeadDim, int kHeads, bool kFp8>
struct Memory {
  using S = Sizes<kHeadDim, kFp8>;
  union {
    alignas(128) char stages[kStages][S::kStageBytes];
    Merge<kHeadDim, kHeads> parts;  // when all stages have been read
  };
  uint64_t full[kStages];
  uint64_t empty[kStages];
  // Of the block, for its cluster.
  float block_most[kHeads];
  float block_sum[kHeads];
  float block_values[kHeads][kHeadDim];
};

// The next tokens of a block's share that lie in one page, at most a stage.
template <int kStageTokens>
__device__ __forceinline__ int segment_tokens(int position, int end) {
  return min(min(kStageTokens, end - position), kKvPageTokens - position % kKvPageTokens);
}

// One thread: asks for a segment.
template <int kHeadDim, bool kFp8>
__device__ __forceinline__ void copy_segment(const KvLayer& kv, int sequence, int kv_head,
                                             int position, int tokens, char* stage,
                                             uint64_t* full) {
  using S = Sizes<kHeadDim, kFp8>;
  // Whole steps, so that every length is a multiple of 16 bytes; beyond the last token lies more of
  // its page, which nobody looks at.
  const int copied = (tokens + kShareStep - 1) / kShareStep * kShareStep;
  arrive_expecting(full, static_cast<uint32_t>(copied * 2 * (S::kTokenBytes + S::kScaleBytes)));
#pragma unroll
  for (int which = 0; which < 2; ++which) {
    const int64_t at = kv_offset(kv, sequence, position, which, kv_head);
    copy_bulk(stage + which * S::kStageTokens * S::kTokenBytes,
              static_cast<const char*>(kv.data) + at * (kFp8 ? 1 : 2),
              static_cast<uint32_t>(copied * S::kTokenBytes), full);
    if constexpr (kFp8) {
      copy_bulk(
          stage + 2 * S::kStageTokens * S::kTokenBytes + which * S::kStageTokens * S::kScaleBytes,
          static_cast<const char*>(kv.scales) + at / kKvGroup * 2,
          static_cast<uint32_t>(copied * S::kScaleBytes), full);
    }
  }
}

// A lane's elements of a token of the stage; returns what they are to be multiplied by.
template <int kHeadDim, bool kFp8>
__device__ __forceinline__ float read_lane(const char* stage, int which, int token, int lane,
                                           float (&to)[kLaneDims]) {
  using S = Sizes<kHeadDim, kFp8>;
  const char* from = stage + (which * S::kStageTokens + token) * S::kTokenBytes +
                     lane * kLaneDims * (kFp8 ? 1 : 2);
  if constexpr (kFp8) {
    const auto bits = *reinterpret_cast<const uint2*>(from);
    const auto* scales =
        reinterpret_cast<const __nv_bfloat16*>(stage + 2 * S::kStageTokens * S::kTokenBytes +
                                               (which * S::kStageTokens + token) * S::kScaleBytes);
    const float scale = __bfloat162float(scales[lane * kLaneDims / kKvGroup]);
    const uint32_t words[2] = {bits.x, bits.y};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto pair = static_cast<__nv_fp8x2_storage_t>(words[i / 2] >> (i % 2 * 16));
      const float2 values = __half22float2(__nv_cvt_fp8x2_to_halfraw2(pair, __NV_E4M3));
      to[2 * i] = values.x;
      to[2 * i + 1] = values.y;
    }
    return scale;
  } else {
    const auto bits = *reinterpret_cast<const uint4*>(from);
    const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      to[2 * i] = __uint_as_float(words[i] << 16);
      to[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
    return 1.0f;
  }
}

// blockIdx: (split, kv head and its part of the query heads, row).
template <int kHeadDim, int kHeads, bool kFp8>
__global__ void __launch_bounds__(kThreads)
    attention_kernel(const __grid_constant__ AttentionTask task) {
  using S = Sizes<kHeadDim, kFp8>;
  constexpr int kLanes = S::kLanes, kAtOnce = S::kAtOnce;
  extern __shared__ __align__(128) char raw_memory[];
  auto& memory = *reinterpret_cast<Memory<kHeadDim, kHeads, kFp8>*>(raw_memory);
  grid_dependency_release();
  if (threadIdx.x == 0) {
#pragma unroll
    for (int stage = 0; stage < kStages; ++stage) {
      initialise_barrier(&memory.full[stage], 1);
      initialise_barrier(&memory.empty[stage], kWarps * kWarpArrivals);
    }
    publish_barriers();
  }
  __syncthreads();
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
  const int share = ((length + splits - 1) / splits + kShareStep - 1) / kShareStep * kShareStep;
  const int begin = split * share, end = min(length, begin + share);
  const int part = static_cast<int>(threadIdx.x) / kLanes;  // tokens part, + kParts ... of a stage
  const int lane = static_cast<int>(threadIdx.x) % kLanes;

  int asked = begin, asked_stage = 0;  // of thread 0
  if (threadIdx.x == 0) {
    for (; asked_stage < kStages && asked < end; ++asked_stage) {
      const int tokens = segment_tokens<S::kStageTokens>(asked, end);
      copy_segment<kHeadDim, kFp8>(task.kv, row.sequence, kv_head, asked, tokens,
                                   memory.stages[asked_stage], &memory.full[asked_stage]);
      asked += tokens;
    }
  }

  float queries[kHeads][kLaneDims];
  const float factor = kLog2E * rsqrtf(static_cast<float>(kHeadDim));
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    const auto* from = reinterpret_cast<const float4*>(
        task.queries + (int64_t{t} * task.heads + first_head + h) * kHeadDim + lane * kLaneDims);
    const float4 low = from[0], high = from[1];
    const float all[kLaneDims] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < kLaneDims; ++i) queries[h][i] = all[i] * factor;
  }
  float most[kHeads], sum[kHeads] = {}, values[kHeads][kLaneDims] = {};
#pragma unroll
  for (int h = 0; h < kHeads; ++h) most[h] = -1e30f;

  int stage = 0;
  uint32_t parity = 0;
  for (int position = begin; position < end;) {
    const int tokens = segment_tokens<S::kStageTokens>(position, end);
    wait_parity(&memory.full[stage], parity);
    const char* data = memory.stages[stage];
    float scores[kAtOnce][kHeads];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int token = u * S::kParts + part;
      float key[kLaneDims];
      const float scale = read_lane<kHeadDim, kFp8>(data, 0, min(token, tokens - 1), lane, key);
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        float score = 0;
#pragma unroll
        for (int i = 0; i < kLaneDims; ++i) score += queries[h][i] * key[i];
        if constexpr (kFp8) score *= scale;
#pragma unroll
        for (int offset = kLanes / 2; offset > 0; offset /= 2) {
          score += __shfl_xor_sync(kWholeWarp, score, offset);
        }
        scores[u][h] = token < tokens ? score : -1e30f;
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
      const int token = u * S::kParts + part;
      float value[kLaneDims];
      const float scale = read_lane<kHeadDim, kFp8>(data, 1, min(token, tokens - 1), lane, value);
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        float weight = token < tokens ? exp2f(scores[u][h] - most[h]) : 0.0f;
        sum[h] += weight;
        if constexpr (kFp8) weight *= scale;
#pragma unroll
        for (int i = 0; i < kLaneDims; ++i) values[h][i] += weight * value[i];
      }
    }
    arrive_warp(&memory.empty[stage]);
    if (threadIdx.x == 0 && asked < end) {
      // The stage just read is the next to be filled.
      wait_parity(&memory.empty[stage], parity);
      const int more = segment_tokens<S::kStageTokens>(asked, end);
      copy_segment<kHeadDim, kFp8>(task.kv, row.sequence, kv_head, asked, more,
                                   memory.stages[stage], &memory.full[stage]);
      asked += more;
    }
    __syncwarp();
    position += tokens;
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
  __syncthreads();  // the parts take the place of the stages
  auto& parts = memory.parts;
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
    for (int p = 0; p < S::kParts; ++p) all_most = fmaxf(all_most, parts.most[p][h]);
    float all_sum = 0, all_values = 0;
    for (int p = 0; p < S::kParts; ++p) {
      const float shrink = exp2f(parts.most[p][h] - all_most);
      all_sum += parts.sum[p][h] * shrink;
      all_values += parts.values[p][h][d] * shrink;
    }
    if (splits == 1) {
      out[i] = __float2bfloat16(all_values / all_sum);
      continue;
    }
    if (d == 0) {
      memory.block_most[h] = all_most;
      memory.block_sum[h] = all_sum;
    }
    memory.block_values[h][d] = all_values;
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
      all_most = fmaxf(all_most,
                       cluster.map_shared_rank(&memory, static_cast<unsigned>(s))->block_most[h]);
    }
    float all_sum = 0, all_values = 0;
    for (int s = 0; s < splits; ++s) {
      const auto* other = cluster.map_shared_rank(&memory, static_cast<unsigned>(s));
      const float shrink = exp2f(other->block_most[h] - all_most);
      all_sum += other->block_sum[h] * shrink;
      all_values += other->block_values[h][d] * shrink;
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
                             .shared_bytes = fp8 ? sizeof(Memory<kHeadDim, kHeads, true>)
                                                 : sizeof(Memory<kHeadDim, kHeads, false>),
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

template <int kHeadDim, int kHeads>
Status prepare_as() {
  LYRE_RETURN_IF_ERROR(allow_shared_bytes(attention_kernel<kHeadDim, kHeads, true>,
                                          sizeof(Memory<kHeadDim, kHeads, true>)));
  return allow_shared_bytes(attention_kernel<kHeadDim, kHeads, false>,
                            sizeof(Memory<kHeadDim, kHeads, false>));
}

template <int kHeadDim>
Status prepare_all() {
  LYRE_RETURN_IF_ERROR((prepare_as<kHeadDim, 1>()));
  LYRE_RETURN_IF_ERROR((prepare_as<kHeadDim, 2>()));
  LYRE_RETURN_IF_ERROR((prepare_as<kHeadDim, 3>()));
  return prepare_as<kHeadDim, 4>();
}

}  // namespace

Status prepare_attention() {
  LYRE_RETURN_IF_ERROR((prepare_as<32, 1>()));
  LYRE_RETURN_IF_ERROR(prepare_all<64>());
  LYRE_RETURN_IF_ERROR(prepare_all<128>());
  return prepare_as<256, 1>();
}

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
