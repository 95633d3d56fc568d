#include "lyre/base/cuda/device_side.cuh"
#include "lyre/codec/cuda/elementwise.cuh"
#include "lyre/codec/cuda/kernels.h"

namespace lyre::snac_cuda {
namespace {

constexpr int kThreads = 128, kKept = 2 * kDepthwiseReach;
// Rows at once: with four latents a frame a thread walks down ten.
constexpr int kBatch = 5;

// Latent `row` of a slot in channel c: the sum of its codes' rows, coarse to fine.
__device__ float latent(const LatentsArgs& a, const Slot& slot, int row, int c) {
  if (slot.has_codes == 0) return 0.0f;
  float sum = 0.0f;
  for (int level = 0; level < a.levels; ++level) {
    const int64_t code = slot.codes[code_slot(level, row, a.rows)];
    sum += __ldg(a.table + (int64_t{level} * a.codebook_size + code) * a.channels + c);
  }
  return sum;
}

// A thread walks down one channel of one slot, from the rows that the taps of row 0 need.
__global__ void __launch_bounds__(kThreads) latents_kernel(const LatentsArgs a) {
  cuda::grid_dependency_release();
  cuda::grid_dependency_wait();
  const int index = static_cast<int>(blockIdx.y);
  const Slot& slot = a.round.slots[index];
  const int c = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (slot.stream < 0 || c >= a.channels) return;
  float taps[kDepthwiseTaps], window[kDepthwiseTaps] = {};
#pragma unroll
  for (int k = 0; k < kDepthwiseTaps; ++k) taps[k] = __ldg(a.depthwise + k * a.channels + c);
  const float bias = __ldg(a.depthwise + kDepthwiseTaps * a.channels + c);
  const float* kept = kept_rows_of<float>(a.round, slot, a.state_offset);
  float* saved = slot.save != 0 ? saved_rows_of<float>(a.round, slot, a.state_offset) : nullptr;
  const RowRange speech = rows_of_speech(slot, a.rows, a.delay);
  const auto row_of = [&](int row) -> float {
    if (row >= a.rows) return 0.0f;
    const int64_t in_round = row + int64_t{slot.before} * a.rows;
    if (in_round >= 0) {
      const int back = row >= 0 ? 0 : (-row + a.rows - 1) / a.rows;  // slots
      return latent(a, a.round.slots[index - back], row + back * a.rows, c);
    }
    return slot.position == slot.before ? 0.0f : kept[(kKept + in_round) * a.channels + c];
  };
  for (int first = -kKept; first < a.rows; first += kBatch) {
    float z[kBatch];  // all their loads are under way together
#pragma unroll
    for (int i = 0; i < kBatch; ++i) z[i] = row_of(first + i);
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int row = first + i;
      if (row >= a.rows) break;
#pragma unroll
      for (int k = 0; k + 1 < kDepthwiseTaps; ++k) window[k] = window[k + 1];
      window[kDepthwiseTaps - 1] = z[i];
      if (saved != nullptr && row >= a.rows - kKept) {
        saved[(row - (a.rows - kKept)) * a.channels + c] = z[i];
      }
      if (row < 0) continue;
      float y = bias;
#pragma unroll
      for (int k = 0; k < kDepthwiseTaps; ++k) y = fmaf(taps[k], window[k], y);
      if (row < speech.begin || row >= speech.end) y = 0.0f;
      const int64_t at = (int64_t{index} * a.rows + row) * a.channels + c;
      a.y[at] = __float2half_rn(fminf(fmaxf(y, -65504.0f), 65504.0f));
    }
  }
}

}  // namespace

void put_latents(cuda::Queue& queue, const LatentsArgs& args) {
  const int64_t values = int64_t{args.round.slot_count} * args.rows * args.channels;
  // The first kernel of a round: what is before it is a copy.
  queue.launch({"codec.latents", values * (4 * args.levels + 2), values * 2 * kDepthwiseTaps},
               {.grid = {static_cast<unsigned>((args.channels + kThreads - 1) / kThreads),
                         static_cast<unsigned>(args.round.slot_count)},
                .block = {kThreads}},
               latents_kernel, args);
}

Status prepare_latents() { return cuda::allow_shared_bytes(latents_kernel, 0); }

}  // namespace lyre::snac_cuda
