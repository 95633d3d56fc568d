#include "lyre/base/cuda/device_side.cuh"
#include "lyre/codec/cuda/elementwise.cuh"
#include "lyre/codec/cuda/kernels.h"
#include "lyre/codec/cuda/square_tiles.cuh"

namespace lyre::snac_cuda {
namespace {

// Channels whose rows lie in shared memory at once.
constexpr int kMostChunk = 64;
constexpr int chunk_of(int channels) { return channels % kMostChunk == 0 ? kMostChunk : 32; }

// Bytes of the operand (kRows, stride), which the rows of a chunk with their history follow.
template <class Shape>
constexpr int64_t operand_bytes(int channels) {
  return int64_t{Shape::kRows} * operand_stride(channels) * 2;
}
template <class Shape>
constexpr int64_t shared_bytes(int channels, int dilation) {
  return operand_bytes<Shape>(channels) +
         int64_t{Shape::kRows + 2 * kDepthwiseReach * dilation} * chunk_of(channels) * 4;
}

// Rows that a thread of a small tile loads of one chunk, at most; of a large one, at once.
template <class Shape>
constexpr int batch_of() {
  constexpr int kMostReach = Shape::kRows + 2 * kDepthwiseReach * kDilations[kResidualUnits - 1];
  constexpr int kRowsAtOnce = Shape::kThreads / (kMostChunk / 4);
  return Shape::kRows <= 32 ? (kMostReach + kRowsAtOnce - 1) / kRowsAtOnce : 4;
}

// Snake of all rows that the taps reach, once each, to shared memory; from there depthwise and the
// second Snake give the operand of the product; the residual is added to its sums.
template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocksPerMultiprocessor)
    residual_unit_kernel(const ResidualUnitArgs a) {
  extern __shared__ __align__(16) unsigned char shared[];
  __half* operand = reinterpret_cast<__half*>(shared);
  float* chunk_rows = reinterpret_cast<float*>(shared + operand_bytes<Shape>(a.channels));

  cuda::grid_dependency_release();
  const int index = static_cast<int>(blockIdx.z);
  const Slot& slot = a.round.slots[index];
  if (slot.stream < 0) return;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / cuda::kWarp;
  const int first_row = static_cast<int>(blockIdx.x) * Shape::kRows;
  const int warp_row = warp / Shape::kColumnWarps * Shape::kRowTiles * 16;
  const int first_column = static_cast<int>(blockIdx.y) * Shape::kColumns +
                           warp % Shape::kColumnWarps * Shape::kColumnTiles * 8;
  const bool has_columns = first_column < a.channels;  // of the warp
  WarpProduct<Shape> product;
  // Where registers are no concern, the first weights come while the operand is made.
  constexpr bool kStartEarly = Shape::kRowTiles * Shape::kColumnTiles <= 4;
  if (kStartEarly && has_columns) product.start(a.weights, a.channels, first_column);
  cuda::grid_dependency_wait();

  const int kept = 2 * kDepthwiseReach * a.dilation;
  const InputRows<float> rows(slot, a.x + int64_t{index} * a.rows * a.channels,
                              kept_rows_of<float>(a.round, slot, a.state_offset), kept, a.rows,
                              a.channels);
  const int stride = operand_stride(a.channels);
  const int chunk = chunk_of(a.channels), quads = chunk / 4;
  const int lane_row = thread / quads, row_step = Shape::kThreads / quads;
  const int quad = thread % quads * 4;  // first of the thread's four channels in a chunk
  // A thread's rows of a chunk, in batches whose loads are under way together. With one batch a
  // chunk (the small tiles, of which a multiprocessor has too few to hide them) the loads of the
  // next chunk are under way while this one is multiplied.
  constexpr int kBatch = batch_of<Shape>();
  constexpr bool kOneBatch = Shape::kRows <= 32;
  const int reach = Shape::kRows + kept;
  float4 fetched[kBatch];
  const auto fetch = [&](int channel, int first) {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int r = first + i * row_step, row = first_row + r - kept;
      const float* from = r < reach && row < a.rows ? rows.at(row) : nullptr;
      fetched[i] = float4{0, 0, 0, 0};
      if (from != nullptr) fetched[i] = load4(from + channel);
    }
  };
  if (kOneBatch) fetch(quad, lane_row);
  for (int first = 0; first < a.channels; first += chunk) {
    const int c = first + quad;
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
    for (int start = lane_row; start < reach; start += kBatch * row_step) {
      if (!kOneBatch) fetch(c, start);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int r = start + i * row_step;
        if (r >= reach) continue;
        *reinterpret_cast<float4*>(chunk_rows + r * chunk + quad) =
            snake(fetched[i], alpha_in, inverse_in);
      }
    }
    __syncthreads();
    if (kOneBatch && first + chunk < a.channels) fetch(c + chunk, lane_row);
    const int tap_step = a.dilation * chunk;
#pragma unroll 2
    for (int r = lane_row; r < Shape::kRows; r += row_step) {
      const float* from = chunk_rows + r * chunk + quad;
      float4 y = bias;
#pragma unroll
      for (int k = 0; k < kDepthwiseTaps; ++k) {
        y = multiply_add(taps[k], load4(from + k * tap_step), y);
      }
      *reinterpret_cast<uint2*>(operand + r * stride + c) = to_halves(snake(y, alpha, inverse));
    }
    __syncthreads();
  }

  if (slot.save != 0) {
    const int parts = static_cast<int>(gridDim.x * gridDim.y) * Shape::kThreads;
    const int part =
        static_cast<int>(blockIdx.y * gridDim.x + blockIdx.x) * Shape::kThreads + thread;
    save_rows(rows, a.rows, kept, a.channels, saved_rows_of<float>(a.round, slot, a.state_offset),
              part, parts);
  }
  if (!has_columns) return;

  if (!kStartEarly) product.start(a.weights, a.channels, first_column);
  product.run(operand + warp_row * stride, stride, 0, a.channels / 32);
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
    queue.launch(
        work,
        {.grid = grid_of<Shape>(slots, args.rows, args.channels),
         .block = {Shape::kThreads},
         .shared_bytes = static_cast<size_t>(shared_bytes<Shape>(args.channels, args.dilation)),
         .overlap_previous = true},
        residual_unit_kernel<Shape>, args);
  });
}

Status prepare_residual_unit() {
  constexpr int kMostDilation = kDilations[kResidualUnits - 1];
  LYRE_RETURN_IF_ERROR(cuda::allow_shared_bytes(
      residual_unit_kernel<SmallTile>, shared_bytes<SmallTile>(kMostChannels, kMostDilation)));
  LYRE_RETURN_IF_ERROR(cuda::allow_shared_bytes(residual_unit_kernel<MiddleTile>,
                                                shared_bytes<MiddleTile>(1024, kMostDilation)));
  LYRE_RETURN_IF_ERROR(cuda::allow_shared_bytes(residual_unit_kernel<Tile64>,
                                                shared_bytes<Tile64>(64, kMostDilation)));
  LYRE_RETURN_IF_ERROR(cuda::allow_shared_bytes(residual_unit_kernel<Tile128>,
                                                shared_bytes<Tile128>(128, kMostDilation)));
  LYRE_RETURN_IF_ERROR(cuda::allow_shared_bytes(residual_unit_kernel<Tile256>,
                                                shared_bytes<Tile256>(256, kMostDilation)));
  return cuda::allow_shared_bytes(residual_unit_kernel<Tile512>,
                                  shared_bytes<Tile512>(512, kMostDilation));
}

}  // namespace lyre::snac_cuda
