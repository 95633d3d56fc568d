#include <cstdint>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/codec/cuda/elementwise.cuh"
#include "lyre/codec/cuda/kernels.h"

namespace lyre::snac_cuda {
namespace {

// A block has so many channels of one slot; its threads take the rows kRowsAtOnce at a time.
constexpr int kChannels = 32, kRowsAtOnce = 10, kThreads = kChannels * kRowsAtOnce;
constexpr int kKept = 2 * kDepthwiseReach;
// Codes that cover a latent, whose rows of the table are fetched together.
constexpr int kMostLevels = 3;

// Rows that the taps of a slot reach, whose latents lie in shared memory.
int64_t shared_bytes(int rows) {
  return int64_t{rows + kKept} * kChannels * int64_t{sizeof(float)};
}

// Latent `row` of a slot in channel c: the sum of its codes' rows, coarse to fine.
__device__ __forceinline__ float latent(const LatentsArgs& a, const Slot& slot, int row, int c) {
  float parts[kMostLevels] = {};
  if (slot.has_codes != 0) {
#pragma unroll
    for (int level = 0; level < kMostLevels; ++level) {
      if (level >= a.levels) continue;
      const int64_t code = slot.codes[code_slot(level, row, a.rows)];
      parts[level] = __ldg(a.table + (int64_t{level} * a.codebook_size + code) * a.channels + c);
    }
  }
  float sum = 0.0f;
#pragma unroll
  for (int level = 0; level < kMostLevels; ++level) sum += parts[level];
  return sum;
}

// With the four latents of a frame every load of a block is under way at once.
__global__ void __launch_bounds__(kThreads) latents_kernel(const LatentsArgs a) {
  extern __shared__ __align__(16) unsigned char shared[];
  float* latents = reinterpret_cast<float*>(shared);  // (kKept + rows, kChannels)

  cuda::grid_dependency_release();
  const int index = static_cast<int>(blockIdx.y);
  const int lane = static_cast<int>(threadIdx.x) % kChannels;
  const int first = static_cast<int>(threadIdx.x) / kChannels;
  const int c = static_cast<int>(blockIdx.x) * kChannels + lane;  // channels: multiple of 32
  float taps[kDepthwiseTaps];
#pragma unroll
  for (int k = 0; k < kDepthwiseTaps; ++k) taps[k] = __ldg(a.depthwise + k * a.channels + c);
  const float bias = __ldg(a.depthwise + kDepthwiseTaps * a.channels + c);
  cuda::grid_dependency_wait();
  const Slot& slot = a.round.slots[index];
  if (slot.stream < 0) return;

  const float* kept = kept_rows_of<float>(a.round, slot, a.state_offset);
  float* saved = slot.save != 0 ? saved_rows_of<float>(a.round, slot, a.state_offset) : nullptr;
  for (int i = first; i < a.rows + kKept; i += kRowsAtOnce) {
    const int row = i - kKept;
    const int64_t in_round = row + int64_t{slot.before} * a.rows;
    float z = 0.0f;
    if (in_round >= 0) {
      const int back = row >= 0 ? 0 : (-row + a.rows - 1) / a.rows;  // slots
      z = latent(a, a.round.slots[index - back], row + back * a.rows, c);
    } else if (slot.position != slot.before) {
      z = kept[(kKept + in_round) * a.channels + c];
    }
    latents[i * kChannels + lane] = z;
    if (saved != nullptr && i >= a.rows) saved[(i - a.rows) * a.channels + c] = z;
  }
  __syncthreads();
  const RowRange speech = rows_of_speech(slot, a.rows, a.delay);
  for (int row = first; row < a.rows; row += kRowsAtOnce) {
    float y = bias;
#pragma unroll
    for (int k = 0; k < kDepthwiseTaps; ++k) {
      y = fmaf(taps[k], latents[(row + k) * kChannels + lane], y);
    }
    if (row < speech.begin || row >= speech.end) y = 0.0f;
    const int64_t at = (int64_t{index} * a.rows + row) * a.channels + c;
    a.y[at] = __float2half_rn(fminf(fmaxf(y, -65504.0f), 65504.0f));
  }
}

}  // namespace

void put_latents(cuda::Queue& queue, const LatentsArgs& args) {
  const int64_t values = int64_t{args.round.slot_count} * args.rows * args.channels;
  // The first kernel of a round: what is before it is a copy.
  queue.launch({"codec.latents", values * (4 * args.levels + 2), values * 2 * kDepthwiseTaps},
               {.grid = {static_cast<unsigned>(args.channels / kChannels),
                         static_cast<unsigned>(args.round.slot_count)},
                .block = {kThreads},
                .shared_bytes = static_cast<size_t>(shared_bytes(args.rows))},
               latents_kernel, args);
}

Status prepare_latents(int rows) {
  return cuda::allow_shared_bytes(latents_kernel, shared_bytes(rows));
}

}  // namespace lyre::snac_cuda
