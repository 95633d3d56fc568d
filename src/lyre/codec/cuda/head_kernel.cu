#include "lyre/base/cuda/device_side.cuh"
#include "lyre/codec/cuda/elementwise.cuh"
#include "lyre/codec/cuda/kernels.h"

namespace lyre::snac_cuda {
namespace {

constexpr int kKept = 2 * kDepthwiseReach;
constexpr int kThreads = 128, kSamples = kThreads - kKept;  // of a block
// Channels whose rows lie in shared memory at once. Rows are 16 bytes longer, so that threads that
// each read 16 bytes of their own row do not meet in a bank.
constexpr int kChunk = 64, kStride = kChunk + 8;

// Rows come to shared memory in the order in which they lie. Then a thread multiplies one row by
// all seven taps; a sample adds seven rows' products.
__global__ void __launch_bounds__(kThreads) head_kernel(const HeadArgs a) {
  __shared__ __align__(16) __half chunk_rows[kThreads * kStride];
  __shared__ float products[kDepthwiseTaps][kThreads];
  cuda::grid_dependency_release();
  const int index = static_cast<int>(blockIdx.y);
  const Slot& slot = a.round.slots[index];
  if (slot.stream < 0) return;
  cuda::grid_dependency_wait();
  const InputRows<__half> rows(slot, a.x + int64_t{index} * a.rows * a.channels,
                               kept_rows_of<__half>(a.round, slot, a.state_offset), kKept, a.rows,
                               a.channels);
  const int thread = static_cast<int>(threadIdx.x);
  const int first = static_cast<int>(blockIdx.x) * kSamples;
  float sum[kDepthwiseTaps] = {};
  for (int begin = 0; begin < a.channels; begin += kChunk) {
    const int shift = a.channels - begin < kChunk ? 2 : 3;  // channels: multiple of 32
    const int pieces = 1 << shift;                          // of 16 bytes, of a row
    if (begin > 0) __syncthreads();
#pragma unroll 8
    for (int i = thread; i < kThreads * pieces; i += kThreads) {
      const int r = i >> shift, piece = (i & (pieces - 1)) * 8, row = first + r - kKept;
      const __half* from = row < a.rows ? rows.at(row) : nullptr;
      uint4 bits = {0, 0, 0, 0};
      if (from != nullptr) bits = *reinterpret_cast<const uint4*>(from + begin + piece);
      *reinterpret_cast<uint4*>(chunk_rows + r * kStride + piece) = bits;
    }
    __syncthreads();
    for (int c = 0; c < pieces * 8; c += 8) {
      const uint4 bits = *reinterpret_cast<const uint4*>(chunk_rows + thread * kStride + c);
      const float2 pairs[4] = {from_halves(bits.x), from_halves(bits.y), from_halves(bits.z),
                               from_halves(bits.w)};
#pragma unroll
      for (int k = 0; k < kDepthwiseTaps; ++k) {
        const float* weights = a.weights + k * a.channels + begin + c;
        const float4 low = load4_constant(weights), high = load4_constant(weights + 4);
        sum[k] = fmaf(pairs[0].x, low.x, sum[k]);
        sum[k] = fmaf(pairs[0].y, low.y, sum[k]);
        sum[k] = fmaf(pairs[1].x, low.z, sum[k]);
        sum[k] = fmaf(pairs[1].y, low.w, sum[k]);
        sum[k] = fmaf(pairs[2].x, high.x, sum[k]);
        sum[k] = fmaf(pairs[2].y, high.y, sum[k]);
        sum[k] = fmaf(pairs[3].x, high.z, sum[k]);
        sum[k] = fmaf(pairs[3].y, high.w, sum[k]);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kDepthwiseTaps; ++k) products[k][thread] = sum[k];
  __syncthreads();
  if (thread < kSamples && first + thread < a.rows) {
    float y = a.bias;
#pragma unroll
    for (int k = 0; k < kDepthwiseTaps; ++k) y += products[k][thread + k];
    a.pcm[int64_t{index} * a.rows + first + thread] = tanhf(y);
  }
  if (slot.save != 0) {
    save_rows(rows, a.rows, kKept, a.channels, saved_rows_of<__half>(a.round, slot, a.state_offset),
              static_cast<int>(blockIdx.x) * kThreads + thread,
              static_cast<int>(gridDim.x) * kThreads);
  }
}

}  // namespace

void put_head(cuda::Queue& queue, const HeadArgs& args) {
  const int64_t samples = int64_t{args.round.slot_count} * args.rows;
  queue.launch({"codec.head", samples * (2 * args.channels + 4),
                samples * 2 * kDepthwiseTaps * args.channels},
               {.grid = {static_cast<unsigned>((args.rows + kSamples - 1) / kSamples),
                         static_cast<unsigned>(args.round.slot_count)},
                .block = {kThreads},
                .overlap_previous = true},
               head_kernel, args);
}

Status prepare_head() { return cuda::allow_shared_bytes(head_kernel, 0); }

}  // namespace lyre::snac_cuda
