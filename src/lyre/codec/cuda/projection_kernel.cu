#include <algorithm>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/codec/cuda/elementwise.cuh"
#include "lyre/codec/cuda/kernels.h"
#include "lyre/codec/cuda/noise.cuh"
#include "lyre/codec/cuda/warp_product.cuh"

namespace lyre::snac_cuda {
namespace {

// kSteps: steps of 32 values of K in shared memory at once; kStages: such chunks.
// kNoise: a block has all channels of its rows, of one of the stride phases, and adds the noise.
template <class Shape_, int kSteps_, int kStages_, bool kNoise_ = false>
struct Pipelined {
  using Shape = Shape_;
  using Weights = WeightStages<Shape, kSteps_, kStages_>;
  static constexpr int kSteps = kSteps_, kStages = kStages_, kDepth = 32 * kSteps;
  static constexpr bool kNoise = kNoise_;
  // With noise its operand takes the place of the rows' stages.
  static constexpr int kRowBytes = kStages * Shape::kRows * kDepth * 2;
  static constexpr int kOperandBytes =
      kNoise ? Shape::kRows * operand_stride(Shape::kColumns) * 2 : 0;
  static constexpr int kPlaceOfWeights = kRowBytes > kOperandBytes ? kRowBytes : kOperandBytes;
  static constexpr int kSharedBytes = kPlaceOfWeights + Weights::kBytes;
  static_assert(kSteps == 1 || kSteps == 2);
};

// One stream: 4 rows of the first block against 17 MB of weights: many narrow columns, weights far
// ahead. Many streams: square tiles.
using Narrow = Pipelined<TileShape<1, 2, 1, 2, 4>, 2, 8>;  // 16 x 32
using Middle = Pipelined<TileShape<2, 4, 1, 4, 2>, 2, 5>;  // 32 x 128
using Square = Pipelined<TileShape<4, 4, 2, 4, 2>, 2, 3>;  // 128 x 128

using NoisyNarrow = Pipelined<TileShape<1, 2, 1, 8, 2>, 2, 4, true>;  // 16 x 128
using NoisyMiddle = Pipelined<TileShape<2, 2, 1, 8, 2>, 2, 4, true>;  // 32 x 128
using Noisy64 = Pipelined<TileShape<2, 4, 4, 2, 2>, 2, 3, true>;      // 128 x 64
using Noisy128 = Pipelined<TileShape<4, 4, 2, 4, 2>, 2, 3, true>;     // 128 x 128
using Noisy256 = Pipelined<TileShape<4, 4, 2, 8, 1>, 2, 4, true>;     // 128 x 256
using Noisy512 = Pipelined<TileShape<4, 4, 1, 16, 1>, 1, 4, true>;    // 64 x 512

// Where the 16 bytes `piece` of a stage's row lie, in elements. Rows of 64 values fill all banks;
// odd ones have their halves exchanged, so that the eight lanes of a quarter-warp, which read 64
// bytes of two rows, never meet.
template <class P>
__device__ __forceinline__ int place_of(int row, int piece) {
  return row * P::kDepth + (P::kSteps == 2 ? piece ^ (row % 2 * 4) : piece) * 8;
}

// Where 8 values of a row come from; bytes: 16, or 0 for a row of zeros, whose `from` is any row.
struct __align__(16) RowSource {
  const __half* from;
  int bytes;
};

template <class P>
__global__ void __launch_bounds__(P::Shape::kThreads, P::Shape::kBlocksPerMultiprocessor)
    projection_kernel(const ProjectionArgs a) {
  using Shape = typename P::Shape;
  extern __shared__ __align__(16) unsigned char shared[];
  __half* stages = reinterpret_cast<__half*>(shared);  // (kStages, kRows, kDepth)
  __shared__ RowSource source[2][Shape::kRows];        // rows x(t) and x(t - 1)
  __shared__ int2 spoken[Shape::kRows];                // phases of a row that are in the speech
  __shared__ float noise[P::kNoise ? Shape::kRows : 1];

  const int thread = static_cast<int>(threadIdx.x), warp = thread / cuda::kWarp;
  const int warp_row = warp / Shape::kColumnWarps * Shape::kRowTiles * 16;
  const int warp_column = warp % Shape::kColumnWarps * Shape::kColumnTiles * 8;  // in the block
  const int columns = a.stride * a.channels, depth = a.taps * a.in_channels;
  const int first_row = static_cast<int>(blockIdx.x) * Shape::kRows;  // over all slots
  const int block_column =
      static_cast<int>(blockIdx.y) * (P::kNoise ? a.channels : Shape::kColumns);
  const int first_column = block_column + warp_column;
  const bool has_columns = P::kNoise ? warp_column < a.channels : first_column < columns;

  cuda::grid_dependency_release();
  const int first_slot = first_row / a.in_rows;
  if (a.round.slots[first_slot].stream < 0) return;  // so are all after it
  typename P::Weights weights, noise_weights;
  weights.start(reinterpret_cast<uint4*>(shared + P::kPlaceOfWeights), a.weights, depth,
                P::kNoise ? block_column + a.channels : columns, block_column);
  const int chunks = weights.chunks();
  int all_chunks = chunks;
  if constexpr (P::kNoise) {
    noise_weights.start(reinterpret_cast<uint4*>(shared + P::kPlaceOfWeights), a.noise, a.channels,
                        a.channels, 0);
    all_chunks += noise_weights.chunks();
  }
  const auto fetch_weights = [&](int chunk) {
    if (chunk < chunks) {
      weights.fetch(chunk, chunk % P::kStages);
    } else if (P::kNoise && chunk < all_chunks) {
      noise_weights.fetch(chunk - chunks, chunk % P::kStages);
    }
  };
#pragma unroll
  for (int c = 0; c < P::kStages - 1; ++c) fetch_weights(c);

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
      const RowRange speech = rows_of_speech(slot, a.in_rows * a.stride, a.delay);
      spoken[i] = {speech.begin - local * a.stride, speech.end - local * a.stride};
      if constexpr (P::kNoise) {
        noise[i] = noise_of_row(slot, a.noise_block, a.in_rows * a.stride,
                                local * a.stride + static_cast<int>(blockIdx.y), a.delay);
      }
    }
    source[0][i] = {now == nullptr ? a.x : now, now == nullptr ? 0 : 16};
    source[1][i] = {before == nullptr ? a.x : before, before == nullptr ? 0 : 16};
  }
  __syncthreads();
  cuda::grid_dependency_wait();

  const auto fetch_rows = [&](int chunk) {
    constexpr int kPieces = P::kDepth / 8, kAll = Shape::kRows * kPieces;
    static_assert(Shape::kThreads % kPieces == 0);
    const int piece = thread % kPieces, k = chunk * P::kDepth + piece * 8;
    if (k >= depth) return;
    const int tap = k >= a.in_channels ? 1 : 0, offset = k - tap * a.in_channels;
    __half* stage = stages + chunk % P::kStages * (Shape::kRows * P::kDepth);
    constexpr int kEach = (kAll + Shape::kThreads - 1) / Shape::kThreads;
    RowSource sources[kEach];  // first all of them: nothing passes a copy
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      sources[i] = source[tap][min((i * Shape::kThreads + thread) / kPieces, Shape::kRows - 1)];
    }
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int row = (i * Shape::kThreads + thread) / kPieces;
      if (kAll % Shape::kThreads != 0 && row >= Shape::kRows) break;
      copy_async(stage + place_of<P>(row, piece), sources[i].from + offset, sources[i].bytes);
    }
  };
#pragma unroll
  for (int c = 0; c < P::kStages - 1; ++c) {
    if (c < chunks) fetch_rows(c);
    commit_copies();
  }
  WarpProduct<Shape> product;
  product.start();
  const auto next_chunk = [&](int c) {
    wait_for_copies<P::kStages - 2>();
    __syncthreads();  // the chunk is there, and nobody reads the stage that is filled next
    if (c + P::kStages - 1 < chunks) fetch_rows(c + P::kStages - 1);
    fetch_weights(c + P::kStages - 1);
    commit_copies();
  };
  const int steps = depth / 32;
  for (int c = 0; c < chunks; ++c) {
    next_chunk(c);
    if (!has_columns) continue;
    const int stage = c % P::kStages;
    const __half* rows = stages + (stage * Shape::kRows + warp_row) * P::kDepth;
#pragma unroll
    for (int s = 0; s < P::kSteps; ++s) {
      if (c * P::kSteps + s >= steps) continue;
      product.step(rows + s * 32, P::kDepth, P::kSteps == 2 ? 32 - s * 64 : 0,
                   weights.at(stage, s, warp_column), P::kSteps * 64);
    }
  }

  // The operand of the noise takes the place of the rows. n * (W y) = W (n y), so that the sums
  // stay where they are and the second product goes on top of them.
  const int operand_row = operand_stride(a.channels);
  const auto for_each_sum = [&](auto&& visit) {
    if (!has_columns) return;
#pragma unroll
    for (int tile = 0; tile < Shape::kRowTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = warp_row + product.row(tile, half);
        if (first_row + row >= all_rows) continue;
#pragma unroll
        for (int pair = 0; pair < Shape::kColumnTiles / 2; ++pair) {
          const int column = warp_column + product.column(pair);
          if (!P::kNoise && block_column + column >= columns) continue;
          visit(tile, half, pair, row, column);
        }
      }
    }
  };
  if constexpr (P::kNoise) __syncthreads();
  for_each_sum([&](int tile, int half, int pair, int row, int column_in_block) {
    const int column = block_column + column_in_block;
    const int phase = P::kNoise ? static_cast<int>(blockIdx.y) : column / a.channels;
    float4 y = add(product.values(tile, half, pair), load4_constant(a.bias + column));
    if (phase < spoken[row].x || phase >= spoken[row].y) y = {0, 0, 0, 0};
    const int64_t at = int64_t{first_row + row} * columns + column;
    if constexpr (P::kNoise) {
      product.set(tile, half, pair, y);
      *reinterpret_cast<uint2*>(stages + row * operand_row + column_in_block) =
          to_halves(scale(noise[row], y));
    } else if (a.y_half == nullptr) {
      *reinterpret_cast<float4*>(a.y + at) = y;
    } else {
      const int channel = column - phase * a.channels;
      y = snake(y, load4_constant(a.snake.alpha + channel),
                load4_constant(a.snake.inverse + channel));
      *reinterpret_cast<uint2*>(a.y_half + at) = to_halves(y);
    }
  });

  if constexpr (P::kNoise) {
    for (int c = chunks; c < all_chunks; ++c) {
      next_chunk(c);
      if (!has_columns) continue;
#pragma unroll
      for (int s = 0; s < P::kSteps; ++s) {
        const int step = (c - chunks) * P::kSteps + s;
        if (step >= a.channels / 32) continue;
        product.step(stages + warp_row * operand_row + step * 32, operand_row, 0,
                     noise_weights.at(c % P::kStages, s, warp_column), P::kSteps * 64);
      }
    }
    for_each_sum([&](int tile, int half, int pair, int row, int column) {
      *reinterpret_cast<float4*>(a.y + int64_t{first_row + row} * columns + block_column + column) =
          product.values(tile, half, pair);
    });
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
