#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/codec/cuda/kernels.h"

namespace lyre::snac_cuda {

/// Tile of a block: kRowWarps x kColumnWarps warps, each with kRowTiles x kColumnTiles products of
/// 16 rows and 8 columns; kMoreWarps take part in everything but the product.
template <int kRowTiles_, int kColumnTiles_, int kRowWarps_, int kColumnWarps_,
          int kBlocksPerMultiprocessor_ = 1, int kMoreWarps_ = 0>
struct TileShape {
  static constexpr int kRowTiles = kRowTiles_, kColumnTiles = kColumnTiles_;
  static constexpr int kRowWarps = kRowWarps_, kColumnWarps = kColumnWarps_;
  static constexpr int kBlocksPerMultiprocessor = kBlocksPerMultiprocessor_;
  static constexpr int kRows = 16 * kRowTiles * kRowWarps;
  static constexpr int kColumns = 8 * kColumnTiles * kColumnWarps;
  static constexpr int kWarps = kRowWarps * kColumnWarps;  // of the product
  static constexpr int kThreads = cuda::kWarp * (kWarps + kMoreWarps_);
  static_assert(kColumnTiles % 2 == 0 && 8 * kColumnTiles <= kColumnPadding);
};

/// Elements from row to row of an operand in shared memory, K a multiple of 32: rows start in
/// alternating halves of the banks, so that the eight lanes of a quarter-warp, which read 64 bytes
/// of two rows each time, never meet.
constexpr int operand_stride(int k) { return k % 64 == 0 ? k + 32 : k; }

__device__ __forceinline__ void multiply_16x8x16(float (&sum)[4], uint32_t a0, uint32_t a1,
                                                 uint32_t a2, uint32_t a3, uint32_t b0,
                                                 uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// 16 bytes from global to shared memory, the first `bytes` of them; the others become zeros.
__device__ __forceinline__ void copy_async(void* to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(cuda::shared_address(to)),
               "l"(from), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void copy_async(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(cuda::shared_address(to)),
               "l"(from)
               : "memory");
}
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// The weights of a block's columns pass through shared memory, kSteps steps of 32 values of K at a
/// time, kStages such chunks: copies, unlike loads into registers, are waited for one by one, so
/// kStages - 1 chunks are really under way.
template <class Shape, int kSteps_, int kStages_>
class WeightStages {
 public:
  static constexpr int kSteps = kSteps_, kStages = kStages_;
  static constexpr int kPieces = Shape::kColumns / 16 * kSteps * 64;  // of 16 bytes, of a chunk
  static constexpr int kBytes = kStages * kPieces * 16;

  /// column: first of the block; `columns`: of the matrix, without padding.
  __device__ __forceinline__ void start(uint4* stages, PackedMatrix matrix, int k, int columns,
                                        int column) {
    stages_ = stages;
    steps_ = k / 32;
    matrix_ = matrix + int64_t{column / 16} * steps_ * 64;
    const int padded = (columns + kColumnPadding - 1) / kColumnPadding * kColumnPadding;
    pairs_ = min((padded - column) / 16, Shape::kColumns / 16);
  }
  __device__ __forceinline__ int chunks() const { return (steps_ + kSteps - 1) / kSteps; }

  /// Puts the copies of a chunk into stage `stage`, by all threads of the block.
  __device__ __forceinline__ void fetch(int chunk, int stage) const {
    constexpr int kSpan = kSteps * 64;  // pieces of 16 columns
    constexpr int kAtOnce = Shape::kThreads / kSpan > 0 ? Shape::kThreads / kSpan : 1;
    constexpr int kParts = Shape::kThreads < kSpan ? kSpan / Shape::kThreads : 1;
    static_assert(kAtOnce * kSpan == Shape::kThreads * kParts);
    const int thread = static_cast<int>(threadIdx.x), first_pair = thread / kSpan;
    const int left = (steps_ - chunk * kSteps) * 64;
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int within = thread % kSpan + part * Shape::kThreads;
      if (within >= left) break;
      uint4* to = stages_ + stage * kPieces + first_pair * kSpan + within;
      const uint4* from = matrix_ + (first_pair * steps_ * 64 + chunk * kSpan + within);
#pragma unroll
      for (int j = 0; j * kAtOnce < Shape::kColumns / 16; ++j) {
        if (first_pair + j * kAtOnce < pairs_) {
          copy_async(to + j * kAtOnce * kSpan, from + j * kAtOnce * steps_ * 64);
        }
      }
    }
  }

  /// Weights of the warp's first 16 columns in step `step` of the chunk in `stage`; those of the
  /// next 16 follow kSteps * 64 further.
  __device__ __forceinline__ const uint4* at(int stage, int step, int column_in_block) const {
    return stages_ + stage * kPieces + (column_in_block / 16 * kSteps + step) * 64;
  }

 private:
  uint4* stages_;
  const uint4* matrix_;
  int steps_;
  int pairs_;  // 16 columns each, that the matrix has
};

/// One warp's part of a tile. Of every 32 values of K lane 4g + t holds the values 8t ... 8t + 7 of
/// row or column g: 16 bytes at once, and two steps of the tensor core, which does not care in
/// which order K is dealt to its lanes. Columns are dealt so that a lane ends up with four
/// neighbours: 4t ... 4t + 3 of each 16.
template <class Shape>
class WarpProduct {
 public:
  __device__ __forceinline__ void start() {
    lane_ = static_cast<int>(threadIdx.x) % cuda::kWarp;
#pragma unroll
    for (int i = 0; i < Shape::kRowTiles; ++i) {
#pragma unroll
      for (int j = 0; j < Shape::kColumnTiles; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sum_[i][j][e] = 0.0f;
      }
    }
  }

  /// Adds 32 values of K. x: the warp's first row there, rows `stride` apart, odd rows `odd`
  /// further; weights: of its first 16 columns, the next 16 `pair_step` further.
  __device__ __forceinline__ void step(const __half* x, int stride, int odd, const uint4* weights,
                                       int pair_step) {
    const int group = lane_ / 4;
    const __half* mine = x + group * stride + (lane_ % 4) * 8 + (group % 2 == 0 ? 0 : odd);
    uint4 b[Shape::kColumnTiles];
#pragma unroll
    for (int j = 0; j < Shape::kColumnTiles; ++j) {
      b[j] = weights[j / 2 * pair_step + j % 2 * 32 + lane_];
    }
#pragma unroll
    for (int i = 0; i < Shape::kRowTiles; ++i) {
      const __half* row = mine + i * 16 * stride;
      const uint4 low = *reinterpret_cast<const uint4*>(row);
      const uint4 high = *reinterpret_cast<const uint4*>(row + 8 * stride);
#pragma unroll
      for (int j = 0; j < Shape::kColumnTiles; ++j) {
        multiply_16x8x16(sum_[i][j], low.x, high.x, low.y, high.y, b[j].x, b[j].y);
      }
#pragma unroll
      for (int j = 0; j < Shape::kColumnTiles; ++j) {
        multiply_16x8x16(sum_[i][j], low.z, high.z, low.w, high.w, b[j].z, b[j].w);
      }
    }
  }

  /// Row of the warp that this lane holds as half `half` of row tile `tile`.
  __device__ __forceinline__ int row(int tile, int half) const {
    return tile * 16 + half * 8 + lane_ / 4;
  }
  /// First of its four columns in pair `pair`, counted from the warp's first.
  __device__ __forceinline__ int column(int pair) const { return pair * 16 + (lane_ % 4) * 4; }
  __device__ __forceinline__ float4 values(int tile, int half, int pair) const {
    return {sum_[tile][2 * pair][2 * half], sum_[tile][2 * pair][2 * half + 1],
            sum_[tile][2 * pair + 1][2 * half], sum_[tile][2 * pair + 1][2 * half + 1]};
  }
  __device__ __forceinline__ void set(int tile, int half, int pair, float4 y) {
    sum_[tile][2 * pair][2 * half] = y.x;
    sum_[tile][2 * pair][2 * half + 1] = y.y;
    sum_[tile][2 * pair + 1][2 * half] = y.z;
    sum_[tile][2 * pair + 1][2 * half + 1] = y.w;
  }

 private:
  float sum_[Shape::kRowTiles][Shape::kColumnTiles][4];
  int lane_;
};

}  // namespace lyre::snac_cuda
