#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/codec/cuda/kernels.h"

namespace lyre::snac_cuda {

/// Tile of a block: kRowWarps x kColumnWarps warps, each with kRowTiles x kColumnTiles products of
/// 16 rows and 8 columns; kAhead: steps of K that weights are loaded ahead.
template <int kRowTiles_, int kColumnTiles_, int kRowWarps_, int kColumnWarps_, int kAhead_,
          int kBlocksPerMultiprocessor_ = 1>
struct TileShape {
  static constexpr int kRowTiles = kRowTiles_, kColumnTiles = kColumnTiles_;
  static constexpr int kRowWarps = kRowWarps_, kColumnWarps = kColumnWarps_;
  static constexpr int kAhead = kAhead_;
  static constexpr int kBlocksPerMultiprocessor = kBlocksPerMultiprocessor_;
  static constexpr int kRows = 16 * kRowTiles * kRowWarps;
  static constexpr int kColumns = 8 * kColumnTiles * kColumnWarps;
  static constexpr int kThreads = cuda::kWarp * kRowWarps * kColumnWarps;
  static_assert(kColumnTiles % 2 == 0 && 8 * kColumnTiles <= kColumnPadding);
};

/// Elements from row to row of an operand in shared memory, K a multiple of 32: rows start in
/// alternating halves of the banks, so that the eight lanes of a quarter-warp, which read 64 bytes
/// of two rows each time, never meet.
constexpr int operand_stride(int k) { return k % 64 == 0 ? k + 32 : k; }

__device__ __forceinline__ void multiply_16x8x16(float (&sum)[4], uint32_t a0, uint32_t a1,
                                                 uint32_t a2, uint32_t a3, uint32_t b0,
                                                 uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// One warp's part of a tile. Weights go from global memory straight to registers: each is used by
/// one warp of a block (or kRowWarps), so shared memory would gain nothing. Of every 32 values of K
/// lane 4g + t holds the values 8t ... 8t + 7 of row or column g: 16 bytes at once, and two steps
/// of the tensor core, which does not care in which order K is dealt to its lanes. Columns are
/// dealt so that a lane ends up with four neighbours: 4t ... 4t + 3 of each 16.
template <class Shape>
class WarpProduct {
 public:
  static constexpr int kPairs = Shape::kColumnTiles / 2;

  /// column: first of the warp, within the padded matrix.
  __device__ __forceinline__ void start(PackedMatrix matrix, int k, int column) {
#pragma unroll
    for (int i = 0; i < Shape::kRowTiles; ++i) {
#pragma unroll
      for (int j = 0; j < Shape::kColumnTiles; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sum_[i][j][e] = 0.0f;
      }
    }
    take(matrix, k, column);
  }

  /// The same, on top of the sums so far.
  __device__ __forceinline__ void take(PackedMatrix matrix, int k, int column) {
    steps_ = k / 32;
    lane_ = static_cast<int>(threadIdx.x) % cuda::kWarp;
    weights_ = matrix + int64_t{column / 16} * steps_ * 64 + lane_;
#pragma unroll
    for (int p = 0; p < Shape::kAhead; ++p) {
      if (p < steps_) load(p, p);
    }
  }

  /// Steps first ... first + count - 1 of K. x: the warp's first row, at step `first`. first is a
  /// multiple of kAhead.
  __device__ __forceinline__ void run(const __half* x, int stride, int first, int count) {
    const __half* mine = x + (lane_ / 4) * stride + (lane_ % 4) * 8;
    for (int base = 0; base < count; base += Shape::kAhead) {
#pragma unroll
      for (int p = 0; p < Shape::kAhead; ++p) {
        const int step = base + p;
        if (step < count) {
          uint4 b[Shape::kColumnTiles];
#pragma unroll
          for (int j = 0; j < Shape::kColumnTiles; ++j) b[j] = ahead_[p][j];
          if (first + step + Shape::kAhead < steps_) load(p, first + step + Shape::kAhead);
#pragma unroll
          for (int i = 0; i < Shape::kRowTiles; ++i) {
            const __half* row = mine + i * 16 * stride + step * 32;
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
  __device__ __forceinline__ void load(int p, int step) {
#pragma unroll
    for (int j = 0; j < Shape::kColumnTiles; ++j) {
      ahead_[p][j] = __ldg(weights_ + (int64_t{j / 2} * steps_ + step) * 64 + (j % 2) * 32);
    }
  }

  float sum_[Shape::kRowTiles][Shape::kColumnTiles][4];
  uint4 ahead_[Shape::kAhead][Shape::kColumnTiles];  // slot p: step p modulo kAhead
  const uint4* weights_;
  int steps_;
  int lane_;
};

}  // namespace lyre::snac_cuda
