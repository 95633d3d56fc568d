#include "lyre/base/cuda/device_side.cuh"
#include "lyre/codec/cuda/elementwise.cuh"
#include "lyre/codec/cuda/kernels.h"
#include "lyre/codec/cuda/noise.cuh"
#include "lyre/codec/cuda/square_tiles.cuh"

namespace lyre::snac_cuda {
namespace {

// n * (W x) = W (n x): the sums start as x, and nothing is left to do after the product.
template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocksPerMultiprocessor)
    noise_kernel(const NoiseArgs a) {
  extern __shared__ __align__(16) unsigned char shared[];
  __half* operand = reinterpret_cast<__half*>(shared);  // (kRows, stride)
  __shared__ float noise[Shape::kRows];

  cuda::grid_dependency_release();
  const int index = static_cast<int>(blockIdx.z);
  const Slot& slot = a.round.slots[index];
  if (slot.stream < 0) return;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / cuda::kWarp;
  const int first_row = static_cast<int>(blockIdx.x) * Shape::kRows;
  const int warp_row = warp / Shape::kColumnWarps * Shape::kRowTiles * 16;
  const int block_column = static_cast<int>(blockIdx.y) * Shape::kColumns;
  const int warp_column = warp % Shape::kColumnWarps * Shape::kColumnTiles * 8;
  const int first_column = block_column + warp_column;
  const bool has_columns = warp < Shape::kWarps && first_column < a.channels;  // of the warp
  SquareWeights<Shape> weights;
  weights.start(reinterpret_cast<uint4*>(shared + operand_bytes<Shape>(a.channels)), a.weights,
                a.channels, a.channels, block_column);
  start_weights<Shape>(weights);
  for (int i = thread; i < Shape::kRows; i += Shape::kThreads) {
    noise[i] = noise_of_row(slot, a.block, a.rows, first_row + i, a.delay);
  }
  cuda::grid_dependency_wait();
  __syncthreads();

  const int stride = operand_stride(a.channels), quads = a.channels / 4;
  const float* x = a.x + int64_t{index} * a.rows * a.channels;
  const int row_step = Shape::kThreads / quads, quad_step = Shape::kThreads % quads;
  int row = thread / quads, quad = thread % quads;
  while (row < Shape::kRows) {
    float4 value = {0, 0, 0, 0};
    if (first_row + row < a.rows) {
      value = load4(x + int64_t{first_row + row} * a.channels + 4 * quad);
    }
    *reinterpret_cast<uint2*>(operand + row * stride + 4 * quad) =
        to_halves(scale(noise[row], value));
    row += row_step;
    quad += quad_step;
    if (quad >= quads) {
      quad -= quads;
      ++row;
    }
  }
  WarpProduct<Shape> product;
  product.start();
  const auto for_each_sum = [&](auto&& visit) {
#pragma unroll
    for (int tile = 0; tile < Shape::kRowTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row_of_slot = first_row + warp_row + product.row(tile, half);
        if (row_of_slot >= a.rows || !has_columns) continue;
        const int64_t to = (int64_t{index} * a.rows + row_of_slot) * a.channels;
#pragma unroll
        for (int pair = 0; pair < Shape::kColumnTiles / 2; ++pair) {
          const int column = first_column + product.column(pair);
          if (column < a.channels) visit(tile, half, pair, to + column);
        }
      }
    }
  };
  for_each_sum([&](int tile, int half, int pair, int64_t at) {
    product.set(tile, half, pair, load4(a.x + at));
  });
  multiply<Shape>(product, weights, operand + warp_row * stride, stride, warp_column, has_columns);
  for_each_sum([&](int tile, int half, int pair, int64_t at) {
    *reinterpret_cast<float4*>(a.y + at) = product.values(tile, half, pair);
  });
}

}  // namespace

void put_noise(cuda::Queue& queue, const NoiseArgs& args) {
  const int slots = args.round.slot_count;
  const int64_t values = int64_t{slots} * args.rows * args.channels;
  const cuda::KernelWork work = {"codec.noise",
                                 8 * values + int64_t{2} * args.channels * args.channels,
                                 2 * values * args.channels};
  choose_tile(slots, args.rows, args.channels, [&]<class Shape>() {
    queue.launch(work,
                 {.grid = grid_of<Shape>(slots, args.rows, args.channels),
                  .block = {Shape::kThreads},
                  .shared_bytes = static_cast<size_t>(shared_bytes<Shape>(args.channels)),
                  .overlap_previous = true},
                 noise_kernel<Shape>, args);
  });
}

Status prepare_noise() {
  return prepare_tiles([&]<class Shape>(int most_channels) {
    return cuda::allow_shared_bytes(noise_kernel<Shape>, shared_bytes<Shape>(most_channels));
  });
}

}  // namespace lyre::snac_cuda
