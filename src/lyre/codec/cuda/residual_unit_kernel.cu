#include "lyre/base/cuda/device_side.cuh"
#include "lyre/codec/cuda/elementwise.cuh"
#include "lyre/codec/cuda/kernels.h"
#include "lyre/codec/cuda/square_tiles.cuh"

namespace lyre::snac_cuda {
namespace {

// Rows that a thread makes of the operand one after the other: with few rows, where latency is all,
// fewer.
template <class Shape>
constexpr int run_of() {
  return Shape::kRows >= 64 ? 8 : (Shape::kRows >= 32 ? 4 : 2);
}

// Snake, depthwise and the second Snake give the operand of the product; the residual is added to
// its sums. The operand is made in registers: the rows of a tile fall into `dilation` chains whose
// neighbours are a dilation apart, and a thread walks down a run of one of them in four channels
// with the seven rows of its taps in a window. So it reads and bends run + 6 rows for run rows of
// the operand, and nobody waits for anybody before the product.
template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocksPerMultiprocessor)
    residual_unit_kernel(const ResidualUnitArgs a) {
  extern __shared__ __align__(16) unsigned char shared[];
  __half* operand = reinterpret_cast<__half*>(shared);  // (kRows, stride)

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
  cuda::grid_dependency_wait();

  const int kept = 2 * kDepthwiseReach * a.dilation;
  const InputRows<float> rows(slot, a.x + int64_t{index} * a.rows * a.channels,
                              kept_rows_of<float>(a.round, slot, a.state_offset), kept, a.rows,
                              a.channels);
  const int stride = operand_stride(a.channels);
  constexpr int kRun = run_of<Shape>(), kBefore = kDepthwiseTaps - 1;
  const int quads = a.channels / 4;
  const int chain_rows = (Shape::kRows + a.dilation - 1) / a.dilation;
  const int tasks = a.dilation * ((chain_rows + kRun - 1) / kRun) * quads;
  for (int task = thread; task < tasks; task += Shape::kThreads) {
    const int run = task / quads, c = task % quads * 4;
    // First row of the run, within the tile.
    const int first = run % a.dilation + run / a.dilation * (kRun * a.dilation);
    if (first >= Shape::kRows || first_row + first >= a.rows) continue;
    const int oldest = first_row + first - kBefore * a.dilation;
    const int newest = oldest + (kBefore + kRun - 1) * a.dilation;
    float4 window[kDepthwiseTaps], fetched[kRun];
    const auto fetch = [&](auto&& input) {
#pragma unroll
      for (int k = 0; k < kBefore; ++k) window[k] = input(k);
#pragma unroll
      for (int i = 0; i < kRun; ++i) fetched[i] = input(kBefore + i);
    };
    if (oldest >= rows.first_fresh() && newest < a.rows) {
      const float* from = rows.at(oldest) + c;
      const int64_t step = int64_t{a.dilation} * a.channels;
      fetch([&](int i) { return load4(from + i * step); });
    } else {
      fetch([&](int i) {
        // Behind the slot's last row there is no row of the operand that anybody needs.
        const float* from = rows.at(min(oldest + i * a.dilation, a.rows - 1));
        float4 value = {0, 0, 0, 0};
        if (from != nullptr) value = load4(from + c);
        return value;
      });
    }
    const float4 alpha_in = load4_constant(a.snake_in.alpha + c);
    const float4 inverse_in = load4_constant(a.snake_in.inverse + c);
    float4 taps[kDepthwiseTaps];
#pragma unroll
    for (int k = 0; k < kDepthwiseTaps; ++k) {
      taps[k] = load4_constant(a.depthwise + k * a.channels + c);
    }
    const float4 bias = load4_constant(a.depthwise + kDepthwiseTaps * a.channels + c);
    const float4 alpha = load4_constant(a.snake_mid.alpha + c);
    const float4 inverse = load4_constant(a.snake_mid.inverse + c);
#pragma unroll
    for (int k = 0; k < kBefore; ++k) window[k] = snake(window[k], alpha_in, inverse_in);
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      window[(i + kBefore) % kDepthwiseTaps] = snake(fetched[i], alpha_in, inverse_in);
      float4 y = bias;
#pragma unroll
      for (int k = 0; k < kDepthwiseTaps; ++k) {
        y = multiply_add(taps[k], window[(i + k) % kDepthwiseTaps], y);
      }
      const int r = first + i * a.dilation;
      if (r < Shape::kRows) {
        *reinterpret_cast<uint2*>(operand + r * stride + c) = to_halves(snake(y, alpha, inverse));
      }
    }
  }

  if (slot.save != 0) {
    const int parts = static_cast<int>(gridDim.x * gridDim.y) * Shape::kThreads;
    const int part =
        static_cast<int>(blockIdx.y * gridDim.x + blockIdx.x) * Shape::kThreads + thread;
    save_rows(rows, a.rows, kept, a.channels, saved_rows_of<float>(a.round, slot, a.state_offset),
              part, parts);
  }
  WarpProduct<Shape> product;
  product.start();
  multiply<Shape>(product, weights, operand + warp_row * stride, stride, warp_column, has_columns);
  if (!has_columns) return;
  const RowRange speech = rows_of_speech(slot, a.rows, a.delay);
#pragma unroll
  for (int tile = 0; tile < Shape::kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + warp_row + product.row(tile, half);
      if (row >= a.rows) continue;
      const bool spoken = row >= speech.begin && row < speech.end;
      const float* held = rows.at(row - kDepthwiseReach * a.dilation);
      const int64_t to = (int64_t{index} * a.rows + row) * a.channels;
#pragma unroll
      for (int pair = 0; pair < Shape::kColumnTiles / 2; ++pair) {
        const int column = first_column + product.column(pair);
        if (column >= a.channels) continue;
        float4 y = add(product.values(tile, half, pair), load4_constant(a.bias + column));
        if (held != nullptr) y = add(y, load4(held + column));
        if (!spoken) y = {0, 0, 0, 0};
        if (a.y_half == nullptr) {
          *reinterpret_cast<float4*>(a.y + to + column) = y;
        } else {
          y = snake(y, load4_constant(a.snake_out.alpha + column),
                    load4_constant(a.snake_out.inverse + column));
          *reinterpret_cast<uint2*>(a.y_half + to + column) = to_halves(y);
        }
      }
    }
  }
}

}  // namespace

void put_residual_unit(cuda::Queue& queue, const ResidualUnitArgs& args) {
  const int slots = args.round.slot_count;
  const int64_t values = int64_t{slots} * args.rows * args.channels;
  const cuda::KernelWork work = {
      "codec.residual_unit",
      (args.y_half == nullptr ? 8 : 6) * values + int64_t{2} * args.channels * args.channels,
      2 * values * (args.channels + kDepthwiseTaps)};
  choose_tile(slots, args.rows, args.channels, [&]<class Shape>() {
    queue.launch(work,
                 {.grid = grid_of<Shape>(slots, args.rows, args.channels),
                  .block = {Shape::kThreads},
                  .shared_bytes = static_cast<size_t>(shared_bytes<Shape>(args.channels)),
                  .overlap_previous = true},
                 residual_unit_kernel<Shape>, args);
  });
}

Status prepare_residual_unit() {
  return prepare_tiles([&]<class Shape>(int most_channels) {
    return cuda::allow_shared_bytes(residual_unit_kernel<Shape>,
                                    shared_bytes<Shape>(most_channels));
  });
}

}  // namespace lyre::snac_cuda
