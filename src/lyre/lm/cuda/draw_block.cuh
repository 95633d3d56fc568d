#pragma once

#include <cstdint>

#include "lyre/base/cuda/device_side.cuh"

// Sums, borders and places over all candidates of a block. Everything is an integer, so that the
// result does not depend on who comes first.
namespace lyre::cuda {

inline constexpr int kDrawThreads = 512;
inline constexpr int kDrawWarps = kDrawThreads / kWarp;
inline constexpr int kDigitBits = 11;  // of the widest digit of block_border()
inline constexpr int kBins = 1 << kDigitBits;
inline constexpr int kThreadBins = kBins / kDrawThreads;
static_assert(kThreadBins == 4, "a thread reads its bins as one uint4");

struct DrawShared {
  // Mass by digit, in halves: shared memory adds 32 bits in one instruction, 64 in a loop. All zero
  // between two calls of block_border().
  alignas(16) uint32_t low[kBins];
  alignas(16) uint32_t high[kBins];
  uint64_t totals[2][kDrawWarps];
  uint64_t before_digit;
  uint32_t digit;
  uint32_t best_key[kDrawWarps];
  uint32_t best_place[kDrawWarps];
  int last_tie;
};

__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarp; }
__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }

__device__ __forceinline__ uint64_t warp_sum(uint64_t value) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kWholeWarp, static_cast<unsigned long long>(value), offset);
  }
  return value;
}

/// Sum over this lane and those below.
__device__ __forceinline__ uint64_t warp_prefix(uint64_t value) {
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const uint64_t lower =
        __shfl_up_sync(kWholeWarp, static_cast<unsigned long long>(value), offset);
    if (lane_index() >= offset) value += lower;
  }
  return value;
}

/// Ascending as the floats, -0 below +0, no NaN.
__device__ __forceinline__ uint32_t key_of(float value) {
  const uint32_t bits = __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float from_key(uint32_t key) {
  return __uint_as_float((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

struct Totals {
  uint64_t before;  // of the warps below
  uint64_t all;
};
/// Every thread of the block, with its warp's sum. `turn` alternates between two buffers: a warp
/// may still read one while another writes the next.
__device__ __forceinline__ Totals block_totals(DrawShared& shared, int& turn, uint64_t of_warp) {
  uint64_t(&totals)[kDrawWarps] = shared.totals[turn];
  turn ^= 1;
  if (lane_index() == 0) totals[warp_index()] = of_warp;
  __syncthreads();
  Totals result = {0, 0};
#pragma unroll
  for (int warp = 0; warp < kDrawWarps; ++warp) {
    if (warp < warp_index()) result.before += totals[warp];
    result.all += totals[warp];
  }
  return result;
}

struct Best {
  uint32_t key;
  uint32_t place;
};
__device__ __forceinline__ Best warp_best(Best own) {
  const uint32_t key = __reduce_max_sync(kWholeWarp, own.key);
  return {key, __reduce_min_sync(kWholeWarp, own.key == key ? own.place : 0xffffffffu)};
}
/// Greatest key, the lowest place among equals. Once a kernel.
__device__ __forceinline__ Best block_best(DrawShared& shared, Best own) {
  own = warp_best(own);
  if (lane_index() == 0) {
    shared.best_key[warp_index()] = own.key;
    shared.best_place[warp_index()] = own.place;
  }
  __syncthreads();
  const int other = lane_index() % kDrawWarps;
  return warp_best({shared.best_key[other], shared.best_place[other]});
}

__device__ __forceinline__ void add_mass(DrawShared& shared, uint32_t bin, uint64_t mass) {
  const auto low = static_cast<uint32_t>(mass);
  const uint32_t sum = atomicAdd(&shared.low[bin], low) + low;
  const uint32_t high = static_cast<uint32_t>(mass >> 32) + (sum < low ? 1u : 0u);
  if (high != 0) atomicAdd(&shared.high[bin], high);
}

struct Border {
  uint32_t distance;  // the least at which the mass up to and including it reaches the target
  uint64_t missing;  // of the target, where everything nearer is added: 1 to the mass at `distance`
  bool reached;      // false: all together have less than the target, and the rest means nothing
};

/// Radix selection from the nearest: `each(use)` calls use(distance, mass) for every candidate of
/// this thread, three times over, where mass() is computed for those that count at the time. Digits
/// are the bits of a distance from kTop down to kFirst, to kSecond and to 0. kCounts: every mass is
/// 1. Every thread of the block; target >= 1.
template <bool kCounts, int kTop, int kFirst, int kSecond, class Each>
__device__ Border block_border(DrawShared& shared, int& turn, uint64_t target, Each&& each) {
  static_assert(kTop - kFirst <= kDigitBits && kFirst - kSecond <= kDigitBits &&
                kSecond <= kDigitBits);
  Border border = {0, target, true};
#pragma unroll
  for (int pass = 0; pass < 3; ++pass) {
    const int shift = pass == 0 ? kFirst : pass == 1 ? kSecond : 0;
    const int width = (pass == 0 ? kTop : pass == 1 ? kFirst : kSecond) - shift;
    each([&](uint32_t distance, auto&& mass) {
      // Only what agrees in the digits that are known.
      if (pass > 0 && distance >> (shift + width) != border.distance) return;
      const uint32_t bin = distance >> shift & ((1u << width) - 1);
      if constexpr (kCounts) {
        atomicAdd(&shared.low[bin], 1u);
      } else {
        add_mass(shared, bin, mass());
      }
    });
    __syncthreads();

    auto& low = reinterpret_cast<uint4*>(shared.low)[threadIdx.x];
    auto& high = reinterpret_cast<uint4*>(shared.high)[threadIdx.x];
    const uint4 l = low, h = high;
    low = high = {0, 0, 0, 0};
    const auto joined = [](uint32_t above, uint32_t below) {
      return uint64_t{above} << 32 | below;
    };
    const uint64_t bins[kThreadBins] = {joined(h.x, l.x), joined(h.y, l.y), joined(h.z, l.z),
                                        joined(h.w, l.w)};
    const uint64_t own = bins[0] + bins[1] + bins[2] + bins[3];
    const uint64_t up_to_lane = warp_prefix(own);
    const uint64_t of_warp =
        __shfl_sync(kWholeWarp, static_cast<unsigned long long>(up_to_lane), kWarp - 1);
    const Totals totals = block_totals(shared, turn, of_warp);
    if (totals.all < border.missing) {  // the same in every thread; in the first pass only
      border.reached = false;
      return border;
    }
    uint64_t before = totals.before + up_to_lane - own;
#pragma unroll
    for (int i = 0; i < kThreadBins; ++i) {
      if (before < border.missing && before + bins[i] >= border.missing) {  // one bin of the block
        shared.digit = threadIdx.x * kThreadBins + static_cast<uint32_t>(i);
        shared.before_digit = before;
      }
      before += bins[i];
    }
    __syncthreads();
    border.distance = border.distance << width | shared.digit;
    border.missing -= shared.before_digit;
  }
  return border;
}

}  // namespace lyre::cuda
