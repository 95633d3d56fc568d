#pragma once

#include <cstdint>

#include "lyre/base/cuda/queue.h"
#include "lyre/codec/cuda/warp_product.cuh"

// Tiles of the kernels whose products have as many columns as inputs: a tile lies within one slot,
// and whoever makes its operand from rows with history would rather have all columns in one block.
namespace lyre::snac_cuda {

// Few blocks: work is cut into many of them, and each has many threads for what comes before its
// product. Then one for each width, which takes all columns.
using SmallTile = TileShape<1, 2, 1, 4, 1, 12>;  // 16 x 64
using MiddleTile = TileShape<2, 2, 1, 8, 2>;     // 32 x 128
using Tile64 = TileShape<2, 4, 4, 2, 2>;         // 128 x 64
using Tile128 = TileShape<4, 4, 2, 4, 2>;        // 128 x 128
using Tile256 = TileShape<4, 4, 1, 8, 2>;        // 64 x 256
using Tile512 = TileShape<2, 4, 1, 16, 1>;       // 32 x 512

/// The weights' way: those of 64 and 128 channels are all under way while the operand is made.
template <class Shape>
using SquareWeights = WeightStages<
    Shape, 1,
    Shape::kRows == 16 ? 8 : (Shape::kColumns <= 64 ? 3 : (Shape::kColumns <= 128 ? 5 : 4))>;

/// The operand (kRows, operand_stride(channels)), which the weights' stages follow.
template <class Shape>
constexpr int64_t operand_bytes(int channels) {
  return int64_t{Shape::kRows} * operand_stride(channels) * 2;
}
template <class Shape>
constexpr int64_t shared_bytes(int channels) {
  return operand_bytes<Shape>(channels) + SquareWeights<Shape>::kBytes;
}

/// What a kernel does before anything else: the first chunks of its weights come.
template <class Shape>
__device__ __forceinline__ void start_weights(const SquareWeights<Shape>& weights) {
  using Weights = SquareWeights<Shape>;
#pragma unroll
  for (int c = 0; c < Weights::kStages - 1; ++c) {
    if (c < weights.chunks()) weights.fetch(c, c);
    commit_copies();
  }
}

/// The whole product, by all threads of the block, once each has done its part of the operand.
/// column: first of the warp, within the block; beyond the matrix nothing is added.
template <class Shape>
__device__ __forceinline__ void multiply(WarpProduct<Shape>& product,
                                         const SquareWeights<Shape>& weights, const __half* operand,
                                         int stride, int column, bool has_columns) {
  using Weights = SquareWeights<Shape>;
  for (int c = 0; c < weights.chunks(); ++c) {
    wait_for_copies<Weights::kStages - 2>();
    __syncthreads();  // the chunk is there, and nobody reads the stage that is filled next
    if (c + Weights::kStages - 1 < weights.chunks()) {
      weights.fetch(c + Weights::kStages - 1, (c + Weights::kStages - 1) % Weights::kStages);
    }
    commit_copies();
    if (has_columns) {
      product.step(operand + c * 32, stride, 0, weights.at(c % Weights::kStages, 0, column), 64);
    }
  }
}

/// Blocks from which on a larger tile pays: most multiprocessors have one.
inline constexpr int64_t kEnoughBlocks = 100;

/// x: tiles of a slot's rows, y: of columns, z: slots.
template <class Shape>
dim3 grid_of(int slots, int rows, int channels) {
  return {static_cast<unsigned>((rows + Shape::kRows - 1) / Shape::kRows),
          static_cast<unsigned>((channels + Shape::kColumns - 1) / Shape::kColumns),
          static_cast<unsigned>(slots)};
}

template <class Shape>
bool enough_blocks(int slots, int rows, int channels) {
  const dim3 grid = grid_of<Shape>(slots, rows, channels);
  return int64_t{grid.x} * grid.y * grid.z >= kEnoughBlocks;
}

/// Calls prepare.template operator()<Shape>(its most channels) for every tile.
template <class Prepare>
Status prepare_tiles(Prepare&& prepare) {
  LYRE_RETURN_IF_ERROR(prepare.template operator()<SmallTile>(kMostChannels));
  LYRE_RETURN_IF_ERROR(prepare.template operator()<MiddleTile>(1024));
  LYRE_RETURN_IF_ERROR(prepare.template operator()<Tile64>(64));
  LYRE_RETURN_IF_ERROR(prepare.template operator()<Tile128>(128));
  LYRE_RETURN_IF_ERROR(prepare.template operator()<Tile256>(256));
  return prepare.template operator()<Tile512>(512);
}

/// Calls launch.template operator()<Shape>() for the tile that suits. All give the same values.
template <class Launch>
void choose_tile(int slots, int rows, int channels, Launch&& launch) {
  if (channels <= 64 && enough_blocks<Tile64>(slots, rows, channels)) {
    launch.template operator()<Tile64>();
  } else if (channels > 64 && channels <= 128 && enough_blocks<Tile128>(slots, rows, channels)) {
    launch.template operator()<Tile128>();
  } else if (channels > 128 && channels <= 256 && enough_blocks<Tile256>(slots, rows, channels)) {
    launch.template operator()<Tile256>();
  } else if (channels > 256 && channels <= 512 && enough_blocks<Tile512>(slots, rows, channels)) {
    launch.template operator()<Tile512>();
  } else if (channels <= 1024 && enough_blocks<MiddleTile>(slots, rows, channels)) {
    launch.template operator()<MiddleTile>();
  } else {
    launch.template operator()<SmallTile>();
  }
}

}  // namespace lyre::snac_cuda
