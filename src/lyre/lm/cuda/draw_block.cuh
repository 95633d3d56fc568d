#pragma once

#include <climits>
#include <cstdint>

#include "lyre/base/cuda/device_side.cuh"

// Sums, borders and places over all candidates of a block. Everything is an integer, so that the
// result does not depend on who comes first. Every launch fetches its instructions anew: loops are
// short and not unrolled, and what one warp can do, one warp does.
namespace lyre::cuda {

inline constexpr int kDrawThreads = 512;
inline constexpr int kDrawWarps = kDrawThreads / kWarp;
inline constexpr int kValueChunks = 16;  // values that a thread keeps
inline constexpr int kDigitBits = 8;     // of block_border()
inline constexpr int kBins = 1 << kDigitBits;
inline constexpr int kLaneBins = kBins / kWarp;
inline constexpr int kMembers = kWarp;  // so many candidates one warp puts into order
static_assert(kLaneBins == 8, "a lane reads its bins as two uint4");

/// A candidate near the border.
struct alignas(16) Member {
  uint64_t order;  // distance, then place
  uint64_t mass;
};

struct DrawShared {
  // Mass by digit, in halves: shared memory adds 32 bits in one instruction, 64 in a loop. All zero
  // between two calls of block_border().
  alignas(16) uint32_t low[kBins];
  alignas(16) uint32_t high[kBins];
  Member members[kMembers];
  int member_count[2];  // of this pass and of the next
  // Logits, then weights: of chunk k, those of all lanes. Each thread uses its own only: shared
  // memory is here for what registers cannot do, an index that is not constant.
  float values[kDrawWarps][kValueChunks][kWarp];
  uint64_t totals[kDrawWarps];
  uint32_t best[kDrawWarps];
  uint64_t uniform;  // 53 bits
  // What the parts of block_border() tell each other.
  uint64_t missing;
  uint32_t digit;
  bool reached;
  uint32_t distance;
  int place;
};

__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarp; }
__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }

/// In every lane; 2^63 at most.
__device__ __forceinline__ uint64_t warp_sum(uint64_t value) {
  constexpr uint32_t kThird = (1u << 21) - 1;
  const auto part = [value](int shift, uint32_t mask) {  // 32 of them fit 32 bits
    return uint64_t{__reduce_add_sync(kWholeWarp, static_cast<uint32_t>(value >> shift) & mask)};
  };
  return part(0, kThird) + (part(21, kThird) << 21) + (part(42, 2 * kThird + 1) << 42);
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

/// Greatest of all threads. Once a kernel.
__device__ __forceinline__ uint32_t block_best(DrawShared& shared, uint32_t key) {
  key = __reduce_max_sync(kWholeWarp, key);
  if (lane_index() == 0) shared.best[warp_index()] = key;
  __syncthreads();
  return __reduce_max_sync(kWholeWarp, shared.best[lane_index() % kDrawWarps]);
}

/// The totals of the warps, in lanes 0 to kDrawWarps - 1 of a warp; 0 in the others.
__device__ __forceinline__ uint64_t total_of_lane(const DrawShared& shared) {
  return lane_index() < kDrawWarps ? shared.totals[lane_index() % kDrawWarps] : 0;
}

__device__ __forceinline__ void add_mass(DrawShared& shared, uint32_t bin, uint64_t mass) {
  const auto low = static_cast<uint32_t>(mass);
  const uint32_t sum = atomicAdd(&shared.low[bin], low) + low;
  const uint32_t high = static_cast<uint32_t>(mass >> 32) + (sum < low ? 1u : 0u);
  if (high != 0) atomicAdd(&shared.high[bin], high);
}

/// One warp: this lane's bins, [0, 4) or [4, 8) of them, and zeros in their place.
__device__ __forceinline__ void take_bins(DrawShared& shared, int half, uint64_t (&bins)[4]) {
  const int at = lane_index() * 2 + half;
  auto& low = reinterpret_cast<uint4*>(shared.low)[at];
  auto& high = reinterpret_cast<uint4*>(shared.high)[at];
  const uint4 l = low, h = high;
  low = high = {0, 0, 0, 0};
  const auto joined = [](uint32_t above, uint32_t below) { return uint64_t{above} << 32 | below; };
  bins[0] = joined(h.x, l.x), bins[1] = joined(h.y, l.y);
  bins[2] = joined(h.z, l.z), bins[3] = joined(h.w, l.w);
}

/// One warp: the bin in which the mass reaches shared.missing, of which that of the bins before it
/// is taken. Empties the bins.
__device__ __forceinline__ void find_digit(DrawShared& shared, uint64_t missing) {
  uint64_t bins[2][4];
  take_bins(shared, 0, bins[0]);
  take_bins(shared, 1, bins[1]);
  uint64_t own = 0;
#pragma unroll
  for (int i = 0; i < kLaneBins; ++i) own += bins[i / 4][i % 4];
  const uint64_t up_to_lane = warp_prefix(own);
  const unsigned reached = __ballot_sync(kWholeWarp, up_to_lane >= missing);
  if (lane_index() == (reached != 0 ? __ffs(static_cast<int>(reached)) - 1 : 0)) {
    missing -= up_to_lane - own;
    uint32_t digit = static_cast<uint32_t>(lane_index() * kLaneBins);
    bool beyond = true;
#pragma unroll
    for (int i = 0; i < kLaneBins - 1; ++i) {
      beyond = beyond && bins[i / 4][i % 4] < missing;
      if (beyond) missing -= bins[i / 4][i % 4], ++digit;
    }
    shared.reached = reached != 0;
    shared.digit = digit;
    shared.missing = missing;
  }
}

/// One warp: the member at which the mass reaches shared.missing, nearest first and the lowest
/// place first among equals.
__device__ __forceinline__ void find_member(DrawShared& shared, int count) {
  const int lane = lane_index();
  const Member own = shared.members[lane];
  uint64_t before = 0;
#pragma unroll 4
  for (int i = 0; i < count; ++i) {
    const Member other = shared.members[i];
    if (other.order < own.order) before += other.mass;
  }
  const uint64_t missing = shared.missing;
  if (lane < count && before < missing && missing - before <= own.mass) {
    shared.distance = static_cast<uint32_t>(own.order >> 32);
    shared.place = static_cast<int>(own.order);
  }
}

struct Border {
  uint32_t distance;  // the least at which the mass up to and including it reaches the target
  int last;  // place that reaches it, the lower first at this distance; -1: one of many, see
             // missing
  uint64_t missing;  // of the target, where everything nearer is added
  bool reached;      // false: all together have less than the target, and the rest means nothing
};

/// The first digit's place: distances are 0 to `greatest`.
__device__ __forceinline__ int first_shift(uint32_t greatest) {
  return max(32 - __clz(static_cast<int>(greatest)) - kDigitBits, 0);
}

/// Radix selection from the nearest, until few are left that may be the border: `each(use)` calls
/// use(distance, place, mass) for every candidate of this thread, where mass() is computed for
/// those that count at the time. `filled`: the mass at each distance >> shift was added to the
/// bins. target() >= 1 is asked in one warp, after a barrier. Every thread of the block.
template <class Target, class Each>
__device__ __forceinline__ Border block_border(DrawShared& shared, bool filled, int shift,
                                               Target&& target, Each&& each) {
  uint32_t prefix = 0;  // the digits known
  int known = 32;       // their place
#pragma unroll 1
  for (int pass = 0;; ++pass) {
    int& count = shared.member_count[pass & 1];
    if (pass > 0 || !filled) {
      each([&](uint32_t distance, int place, auto&& mass_of) {
        if (pass > 0 && distance >> known != prefix) return;
        const uint64_t mass = mass_of();
        const int at = atomicAdd(&count, 1);
        if (at < kMembers)
          shared.members[at] = {uint64_t{distance} << 32 | static_cast<uint32_t>(place), mass};
        if (known > 0) {
          add_mass(shared,
                   pass > 0 ? (distance >> shift) - (prefix << (known - shift)) : distance >> shift,
                   mass);
        }
      });
    }
    __syncthreads();
    const bool few = pass > 0 && count <= kMembers;
    if (few || known == 0) {
      if (!few) return {prefix, -1, shared.missing, true};
      if (warp_index() == 0) {
        uint64_t unused[4];
        take_bins(shared, 0, unused);
        take_bins(shared, 1, unused);
        find_member(shared, count);
      }
      __syncthreads();
      return {shared.distance, shared.place, 0, true};
    }
    if (warp_index() == 0) {
      shared.member_count[(pass + 1) & 1] = 0;
      find_digit(shared, pass > 0 ? shared.missing : target());
    }
    __syncthreads();
    if (!shared.reached) return {0, -1, 0, false};  // in the first pass only
    prefix = (pass > 0 ? prefix << (known - shift) : 0) + shared.digit;
    known = shift;
    shift = max(shift - kDigitBits, 0);
  }
}

}  // namespace lyre::cuda
