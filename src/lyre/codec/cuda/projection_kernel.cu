#include <algorithm>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/codec/cuda/elementwise.cuh"
#include "lyre/codec/cuda/kernels.h"
#include "lyre/codec/cuda/noise.cuh"
#include "lyre/codec/cuda/warp_product.cuh"

namespace lyre::snac_cuda {
namespace {

// Depth of what is in shared memory at once, and how many such stages there are.
// kNoise: a block has all channels of its rows, of one of the stride phases, and adds the noise.
template <class Shape_, int kDepth_, int kStages_, bool kNoise_ = false>
struct Pipelined {
  using Shape = Shape_;
  static constexpr int kDepth = kDepth_, kStages = kStages_;
  static constexpr bool kNoise = kNoise_;
  static constexpr int kStride = operand_stride(kDepth);
  // With noise its operand takes the place of the stages.
  static constexpr int kOperandStride = kNoise ? operand_stride(Shape::kColumns) : 0;
  static constexpr int kSharedBytes =
      Shape::kRows * 2 * (kStages * kStride > kOperandStride ? kStages * kStride : kOperandStride);
  static_assert(kDepth % (32 * Shape::kAhead) == 0);
};

// One stream: 4 rows of the first block against 17 MB of weights: many narrow columns, weights far
// ahead. Many streams: square tiles.
using Narrow = Pipelined<TileShape<1, 2, 1, 4, 8, 2>, 512, 2>;
using Middle = Pipelined<TileShape<2, 4, 1, 4, 4, 3>, 128, 3>;
using Square = Pipelined<TileShape<4, 4, 2, 4, 2, 2>, 64, 3>;

using NoisyNarrow = Pipelined<TileShape<1, 2, 1, 8, 4, 2>, 128, 3, true>;
using NoisyMiddle = Pipelined<TileShape<2, 2, 1, 8, 4, 2>, 128, 3, true>;
using Noisy64 = Pipelined<TileShape<2, 4, 4, 2, 2, 2>, 64, 3, true>;
using Noisy128 = Pipelined<TileShape<4, 4, 2, 4, 2, 2>, 64, 3, true>;
using Noisy256 = Pipelined<TileShape<4, 4, 1, 8, 2, 2>, 64, 3, true>;
using Noisy512 = Pipelined<TileShape<4, 4, 1, 16, 2, 1>, 64, 3, true>;

// 16 bytes, or zeros where there is no source.
__device__ __forceinline__ void copy_async(__half* to, const __half* from, const void* any) {
  const int bytes = from == nullptr ? 0 : 16;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(cuda::shared_address(to)),
               "l"(from == nullptr ? any : from), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

template <class P>
__global__ void __launch_bounds__(P::Shape::kThreads, P::Shape::kBlocksPerMultiprocessor)
    projection_kernel(const ProjectionArgs a) {
  using Shape = typename P::Shape;
  extern __shared__ __align__(16) unsigned char shared[];
  __half* stages = reinterpret_cast<__half*>(shared);  // (kStages, kRows, kStride)
  __shared__ const __half* source[2][Shape::kRows];    // rows x(t) and x(t - 1); null: zeros

  const int thread = static_cast<int>(threadIdx.x), warp = thread / cuda::kWarp;
  const int row_warp = warp / Shape::kColumnWarps, column_warp = warp % Shape::kColumnWarps;
  const int columns = a.stride * a.channels, depth = a.taps * a.in_channels;
  const int first_row = static_cast<int>(blockIdx.x) * Shape::kRows;  // over all slots
  const int warp_column = column_warp * Shape::kColumnTiles * 8;      // within the block
  const int first_column =
      static_cast<int>(blockIdx.y) * (P::kNoise ? a.channels : Shape::kColumns) + warp_column;
  const bool has_columns = P::kNoise ? warp_column < a.channels : first_column < columns;

  cuda::grid_dependency_release();
  const int first_slot = first_row / a.in_rows;
  if (a.round.slots[first_slot].stream < 0) return;  // so are all after it
  WarpProduct<Shape> product;
  if (has_columns) product.start(a.weights, depth, first_column);
  cuda::grid_dependency_wait();

  const int all_rows = a.round.slot_count * a.in_rows;
  for (int i = thread; i < Shape::kRows; i += Shape::kThreads) {
    const int row = first_row + i;
    const __half* now = nullptr;
    const __half* before = nullptr;
    if (row < all_rows) {
      const int index = row / a.in_rows, local = row % a.in_rows;
      const Slot& slot = a.round.slots[index];
      if (slot.stream >= 0) {
        const InputRows<__half> rows(slot, a.x + int64_t{index} * a.in_rows * a.in_channels,
                                     kept_rows_of<__half>(a.round, slot, a.state_offset), 1,
                                     a.in_rows, a.in_channels);
        now = rows.at(local);
        if (a.taps == 2) before = rows.at(local - 1);
      }
    }
    source[0][i] = now;
    source[1][i] = before;
  }
  __syncthreads();

  __shared__ float noise[P::kNoise ? Shape::kRows : 1];
  if constexpr (P::kNoise) {
    for (int i = thread; i < Shape::kRows; i += Shape::kThreads) {
      const int row = first_row + i;
      if (row >= all_rows) continue;
      noise[i] = noise_of_row(a.round.slots[row / a.in_rows], a.noise_block, a.in_rows * a.stride,
                              row % a.in_rows * a.stride + static_cast<int>(blockIdx.y), a.delay);
    }
  }

  const int chunks = (depth + P::kDepth - 1) / P::kDepth;
  const auto fetch = [&](int chunk) {
    constexpr int kPieces = P::kDepth / 8;
    __half* stage = stages + (chunk % P::kStages) * Shape::kRows * P::kStride;
    for (int i = thread; i < Shape::kRows * kPieces; i += Shape::kThreads) {
      const int row = i / kPieces, piece = i % kPieces;
      const int k = chunk * P::kDepth + piece * 8;
      if (k >= depth) continue;
      const int tap = k >= a.in_channels ? 1 : 0;
      const __half* from = source[tap][row];
      if (from != nullptr) from += k - tap * a.in_channels;
      copy_async(stage + row * P::kStride + piece * 8, from, a.x);
    }
  };
#pragma unroll
  for (int c = 0; c < P::kStages - 1; ++c) {
    if (c < chunks) fetch(c);
    commit_copies();
  }
  for (int c = 0; c < chunks; ++c) {
    wait_for_copies<P::kStages - 2>();
    __syncthreads();  // the chunk is there, and nobody reads the stage that is filled next
    if (c + P::kStages - 1 < chunks) fetch(c + P::kStages - 1);
    commit_copies();
    if (!has_columns) continue;
    const __half* stage =
        stages + ((c % P::kStages) * Shape::kRows + row_warp * Shape::kRowTiles * 16) * P::kStride;
    constexpr int kSteps = P::kDepth / 32;
    product.run(stage, P::kStride, c * kSteps, min(kSteps, depth / 32 - c * kSteps));
  }

  // The operand of the noise takes the place of the stages. n * (W y) = W (n y), so that the sums
  // stay where they are and the second product goes on top of them.
  const int operand_row = operand_stride(a.channels);
  const int warp_row = row_warp * Shape::kRowTiles * 16;
  if constexpr (P::kNoise) __syncthreads();
  if (has_columns) {
#pragma unroll
    for (int tile = 0; tile < Shape::kRowTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int tile_row = warp_row + product.row(tile, half), row = first_row + tile_row;
        if (row >= all_rows) continue;
        const int index = row / a.in_rows, local = row % a.in_rows;
        const RowRange speech = rows_of_speech(a.round.slots[index], a.in_rows * a.stride, a.delay);
#pragma unroll
        for (int pair = 0; pair < Shape::kColumnTiles / 2; ++pair) {
          const int column = first_column + product.column(pair);
          if (column >= columns) continue;
          const int phase = P::kNoise ? static_cast<int>(blockIdx.y) : column / a.channels;
          const int out_row = local * a.stride + phase;
          float4 y = add(product.values(tile, half, pair), load4_constant(a.bias + column));
          if (out_row < speech.begin || out_row >= speech.end) y = {0, 0, 0, 0};
          const int64_t at = int64_t{row} * columns + column;
          if constexpr (P::kNoise) {
            product.set(tile, half, pair, y);
            *reinterpret_cast<uint2*>(stages + tile_row * operand_row + warp_column +
                                      product.column(pair)) = to_halves(scale(noise[tile_row], y));
          } else if (a.y_half == nullptr) {
            *reinterpret_cast<float4*>(a.y + at) = y;
          } else {
            const int channel = column - phase * a.channels;
            y = snake(y, load4_constant(a.snake.alpha + channel),
                      load4_constant(a.snake.inverse + channel));
            *reinterpret_cast<uint2*>(a.y_half + at) = to_halves(y);
          }
        }
      }
    }
  }

  if constexpr (P::kNoise) {
    if (has_columns) product.take(a.noise, a.channels, warp_column);
    __syncthreads();
    if (has_columns) {
      product.run(stages + warp_row * operand_row, operand_row, 0, a.channels / 32);
#pragma unroll
      for (int tile = 0; tile < Shape::kRowTiles; ++tile) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = first_row + warp_row + product.row(tile, half);
          if (row >= all_rows) continue;
#pragma unroll
          for (int pair = 0; pair < Shape::kColumnTiles / 2; ++pair) {
            const int column = first_column + product.column(pair);
            if (column >= columns) continue;
            *reinterpret_cast<float4*>(a.y + int64_t{row} * columns + column) =
                product.values(tile, half, pair);
          }
        }
      }
    }
  }

  // The block with a slot's last row saves it.
  if (a.taps == 2 && blockIdx.y == 0) {
    const int last_slot = (min(first_row + Shape::kRows, all_rows) - 1) / a.in_rows;
    for (int index = first_slot; index <= last_slot; ++index) {
      const Slot& slot = a.round.slots[index];
      const int last = (index + 1) * a.in_rows - 1;
      if (slot.stream < 0 || slot.save == 0 || last >= first_row + Shape::kRows) continue;
      const uint4* from = reinterpret_cast<const uint4*>(a.x + int64_t{last} * a.in_channels);
      uint4* to = reinterpret_cast<uint4*>(saved_rows_of<__half>(a.round, slot, a.state_offset));
      for (int i = thread; i < a.in_channels / 8; i += Shape::kThreads) to[i] = from[i];
    }
  }
}

template <class P>
dim3 grid_of(const ProjectionArgs& a) {
  const int rows = a.round.slot_count * a.in_rows, columns = a.stride * a.channels;
  const int column_blocks =
      P::kNoise ? a.stride : (columns + P::Shape::kColumns - 1) / P::Shape::kColumns;
  return {static_cast<unsigned>((rows + P::Shape::kRows - 1) / P::Shape::kRows),
          static_cast<unsigned>(column_blocks)};
}

template <class P>
bool launch_if_enough(cuda::Queue& queue, const ProjectionArgs& a, unsigned enough) {
  const dim3 grid = grid_of<P>(a);
  if (grid.x * grid.y < enough) return false;
  const int64_t in = int64_t{a.round.slot_count} * a.in_rows * a.in_channels;
  const int64_t columns = a.stride * a.channels, depth = a.taps * a.in_channels;
  const int64_t out = int64_t{a.round.slot_count} * a.in_rows * columns;
  const int64_t noise_depth = P::kNoise ? a.channels : 0;
  queue.launch({a.name,
                2 * in + 2 * columns * depth + (a.y_half == nullptr ? 4 : 2) * out +
                    2 * noise_depth * noise_depth,
                2 * out * (depth + noise_depth)},
               {.grid = grid,
                .block = {P::Shape::kThreads},
                .shared_bytes = P::kSharedBytes,
                .overlap_previous = true},
               projection_kernel<P>, a);
  return true;
}

template <class P>
Status prepare() {
  return cuda::allow_shared_bytes(projection_kernel<P>, P::kSharedBytes);
}

// Blocks from which on a larger tile pays: most multiprocessors have one.
constexpr unsigned kEnough = 100;

}  // namespace

bool projection_adds_noise(int slot_count, int in_rows, int stride, int channels) {
  if (channels <= 128) return true;
  if (channels > 512) return false;
  const int tile_rows = channels <= 256 ? Noisy256::Shape::kRows : Noisy512::Shape::kRows;
  return (slot_count * in_rows + tile_rows - 1) / tile_rows * stride >= static_cast<int>(kEnough);
}

void put_projection(cuda::Queue& queue, const ProjectionArgs& args) {
  if (args.noise != nullptr && args.channels > 256) {
    launch_if_enough<Noisy512>(queue, args, 0);
  } else if (args.noise != nullptr && args.channels > 128) {
    launch_if_enough<Noisy256>(queue, args, 0);
  } else if (args.noise != nullptr) {
    if (args.channels <= 64 ? launch_if_enough<Noisy64>(queue, args, kEnough)
                            : launch_if_enough<Noisy128>(queue, args, kEnough)) {
      return;
    }
    if (launch_if_enough<NoisyMiddle>(queue, args, kEnough)) return;
    launch_if_enough<NoisyNarrow>(queue, args, 0);
  } else {
    if (launch_if_enough<Square>(queue, args, kEnough)) return;
    if (launch_if_enough<Middle>(queue, args, kEnough)) return;
    launch_if_enough<Narrow>(queue, args, 0);
  }
}

Status prepare_projection() {
  LYRE_RETURN_IF_ERROR(prepare<Narrow>());
  LYRE_RETURN_IF_ERROR(prepare<Middle>());
  LYRE_RETURN_IF_ERROR(prepare<Square>());
  LYRE_RETURN_IF_ERROR(prepare<NoisyNarrow>());
  LYRE_RETURN_IF_ERROR(prepare<NoisyMiddle>());
  LYRE_RETURN_IF_ERROR(prepare<Noisy64>());
  LYRE_RETURN_IF_ERROR(prepare<Noisy128>());
  LYRE_RETURN_IF_ERROR(prepare<Noisy256>());
  return prepare<Noisy512>();
}

}  // namespace lyre::snac_cuda
