#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "lyre/codec/cuda/kernels.h"

// What kernels do to single values. Every multiply-add is written as one, so that the compiler has
// no choice that could differ from tile to tile.
namespace lyre::snac_cuda {

/// The fast sine takes its angle in turns: its error is 5e-7 and what an angle in fp32 leaves open
/// anyway, so that Snake errs by no more than rounding x would.
__device__ __forceinline__ float snake(float x, float alpha, float inverse) {
  const float sine = __sinf(alpha * x);
  return fmaf(sine * sine, inverse, x);
}

__device__ __forceinline__ float4 snake(float4 x, float4 alpha, float4 inverse) {
  return {snake(x.x, alpha.x, inverse.x), snake(x.y, alpha.y, inverse.y),
          snake(x.z, alpha.z, inverse.z), snake(x.w, alpha.w, inverse.w)};
}

__device__ __forceinline__ float4 load4(const float* from) {
  return *reinterpret_cast<const float4*>(from);
}

/// Of weights: never written while kernels run.
__device__ __forceinline__ float4 load4_constant(const float* from) {
  return __ldg(reinterpret_cast<const float4*>(from));
}

__device__ __forceinline__ float4 multiply_add(float4 a, float4 b, float4 c) {
  return {fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y), fmaf(a.z, b.z, c.z), fmaf(a.w, b.w, c.w)};
}

__device__ __forceinline__ float4 scale(float a, float4 b) {
  return {a * b.x, a * b.y, a * b.z, a * b.w};
}

__device__ __forceinline__ float4 add(float4 a, float4 b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}

/// Rounded to fp16; what is beyond its range becomes its largest value.
__device__ __forceinline__ uint32_t to_halves(float low, float high) {
  constexpr unsigned short kMost = 0x7bff, kLeast = 0xfbff;  // +-65504
  __half2 halves = __floats2half2_rn(low, high);
  halves = __hmin2(halves, __half2half2(__ushort_as_half(kMost)));
  halves = __hmax2(halves, __half2half2(__ushort_as_half(kLeast)));
  return *reinterpret_cast<const uint32_t*>(&halves);
}

__device__ __forceinline__ uint2 to_halves(float4 x) {
  return {to_halves(x.x, x.y), to_halves(x.z, x.w)};
}

__device__ __forceinline__ float2 from_halves(uint32_t bits) {
  return __half22float2(*reinterpret_cast<const __half2*>(&bits));
}

/// Layer's part of the state that `slot` reads, and of the one that it writes if it saves.
template <class T>
__device__ __forceinline__ const T* kept_rows_of(const Round& round, const Slot& slot,
                                                 int64_t offset) {
  return reinterpret_cast<const T*>(
      round.states + (2 * int64_t{slot.stream} + slot.parity) * round.state_bytes + offset);
}
template <class T>
__device__ __forceinline__ T* saved_rows_of(const Round& round, const Slot& slot, int64_t offset) {
  return reinterpret_cast<T*>(
      round.states + (2 * int64_t{slot.stream} + (slot.parity ^ 1)) * round.state_bytes + offset);
}

/// Saves the last kept_rows rows of a layer's input; `part` of `parts` threads each takes its
/// share. T: float or __half; rows are whole numbers of 16 bytes.
template <class T>
__device__ __forceinline__ void save_rows(const InputRows<T>& rows, int row_count, int kept_rows,
                                          int channels, T* to, int part, int parts) {
  constexpr int kPerPiece = 16 / sizeof(T);
  const int pieces = channels / kPerPiece;
  for (int i = part; i < kept_rows * pieces; i += parts) {
    const int row = i / pieces, piece = i % pieces;
    const T* from = rows.at(row_count - kept_rows + row);
    const uint4 value =
        from == nullptr ? uint4{0, 0, 0, 0} : reinterpret_cast<const uint4*>(from)[piece];
    reinterpret_cast<uint4*>(to)[i] = value;
  }
}

}  // namespace lyre::snac_cuda
