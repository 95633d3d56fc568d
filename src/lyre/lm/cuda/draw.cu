#include "lyre/lm/cuda/draw.h"

#include "lyre/lm/cuda/draw_block.cuh"
#include "lyre/lm/cuda/draw_candidates.cuh"

namespace lyre::cuda {
namespace {

constexpr int kSlots = 7;
constexpr uint32_t kDrawPurpose = 0x4C4D;   // as draw_token.cc
constexpr uint32_t kOneBits = 0x3f800000u;  // 1.0f, the greatest weight

// Weights as integers: whole units of 2^-shift, as small as they can be where the sum of all stays
// below 2^63.
struct MassScale {
  int bits;  // 2^bits candidates or fewer
  float factor;

  __device__ explicit MassScale(int candidates) {
    bits = candidates > 1 ? 32 - __clz(candidates - 1) : 0;
    factor = power_of_two(63 - bits);
  }
  __device__ uint64_t mass(float weight) const { return __float2ull_rz(__fmul_rn(weight, factor)); }

  static __device__ float power_of_two(int exponent) {
    return __uint_as_float(static_cast<uint32_t>(127 + exponent) << 23);
  }
};

// What of the candidates is kept: values in (least, most], and at `least` itself places up to
// last_at_least.
struct Kept {
  float least = 0;
  int last_at_least = -1;
  float most = kInfinity;

  static __device__ Kept equals(float value) { return {value, INT_MAX, value}; }
  static __device__ Kept from(float weight, int last) { return {weight, last, kInfinity}; }

  __device__ bool operator()(float value, int place) const {
    return value <= most && (value > least || (value == least && place <= last_at_least));
  }
};

// What a draw needs of a sequence; read before anything of it is written.
struct Sampling {
  float temperature, top_p, min_p;
  int top_k;
  uint64_t seed;
  int drawn;
};

// Bits of a uniform number from [0, 1): 53.
__device__ __forceinline__ uint64_t uniform_bits(const Sampling& sampling) {
  const Philox philox =
      philox4x32(static_cast<uint32_t>(sampling.drawn), 0, kDrawPurpose, 0,
                 static_cast<uint32_t>(sampling.seed), static_cast<uint32_t>(sampling.seed >> 32));
  return (uint64_t{philox.words[0]} << 32 | philox.words[1]) >> 11;
}
// Times `sum`, rounded down.
__device__ __forceinline__ uint64_t uniform_part(uint64_t bits, uint64_t sum) {
  return __umul64hi(bits, sum) << 11 | (bits * sum) >> 53;
}

// The first place, ascending, up to which what is kept has more than left(mass of all that is kept)
// together: in the warp that has it; -1 in the others. Every thread of the block.
template <class MassOf, class Left>
__device__ __forceinline__ int block_find_place(DrawShared& shared, Candidates& candidates,
                                                const Kept& kept, MassOf&& mass_of,
                                                Left&& left_of) {
  uint64_t own = 0;
  candidates.each([&](float value, int place) {
    if (kept(value, place)) own += mass_of(value);
  });
  const int warp = warp_index(), lane = lane_index();
  own = warp_sum(own);
  if (lane == 0) shared.totals[warp] = own;
  __syncthreads();
  const uint64_t total = total_of_lane(shared);
  uint64_t left = left_of(warp_sum(total));
  const uint64_t before = warp_sum(lane < warp ? total : 0);
  if (left < before || left - before >= own) return -1;
  left -= before;
  int found = -1;
  candidates.each_while([&](float value, int place) {
    const bool keep = kept(value, place);
    if (!__any_sync(kWholeWarp, keep)) return true;
    const uint64_t mass = warp_prefix(keep ? mass_of(value) : 0);
    const unsigned reached = __ballot_sync(kWholeWarp, mass > left);
    if (reached != 0) {
      found = place - lane + __ffs(static_cast<int>(reached)) - 1;
      return false;
    }
    left -= __shfl_sync(kWholeWarp, static_cast<unsigned long long>(mass), kWarp - 1);
    return true;
  });
  return found;
}

// The place drawn, in one warp; -1 in the others. Every thread of the block.
__device__ __forceinline__ int draw_place(DrawShared& shared, Candidates& candidates, int count,
                                          const Sampling& sampling) {
  const float own = candidates.read([&] {
    if (warp_index() != kDrawWarps - 1) return;
    const uint64_t bits = uniform_bits(sampling);
    if (lane_index() == 0) shared.uniform = bits;
  });
  const uint32_t best_key = block_best(shared, key_of(own));
  WeightRules rules;
  rules.best = from_key(best_key);
  rules.temperature = Divisor(sampling.temperature);
  const MassScale scale(count);

  // A search for the candidate drawn, or before it one for the last that is kept of many equals.
  Kept kept;
  uint64_t before_last = 0;
  bool greedy = false, last_search = true;
  if (sampling.temperature <= 0 || rules.best == -kInfinity) {
    kept = Kept::equals(rules.best);
    greedy = true;
  } else {
    if (sampling.top_k > 0 && sampling.top_k < count) {
      // Places beyond the last candidate count as -infinity: they come after all that matter.
      const Border kth = block_border(
          shared, false, first_shift(0xffffffffu),
          [&] { return static_cast<uint64_t>(sampling.top_k); },
          [&](auto&& use) {
            candidates.each([&](float logit, int place) {
              use(best_key - key_of(logit), place, [] { return uint64_t{1}; });
            });
          });
      rules.least_logit = from_key(best_key - kth.distance);
    }
    const bool nucleus = sampling.top_p < 1.0f;
    // All below this weight have less than 1 - top_p together, where the best alone has 1: none of
    // them is needed. It leaves few to add up in shared memory.
    const float floor =
        nucleus ? __fmul_rd(__fsub_rd(1.0f, sampling.top_p), MassScale::power_of_two(-scale.bits))
                : kInfinity;
    const int shift = first_shift(nucleus ? kOneBits - __float_as_uint(floor) : 0);
    uint64_t sum = 0;
    candidates.weigh(rules, [&](float weight) {
      const uint64_t mass = scale.mass(weight);
      sum += mass;
      if (weight >= floor) add_mass(shared, (kOneBits - __float_as_uint(weight)) >> shift, mass);
    });
    if (nucleus) {
      sum = warp_sum(sum);
      if (lane_index() == 0) shared.totals[warp_index()] = sum;
      const Border border = block_border(
          shared, true, shift,
          [&] {
            const double all = __ull2double_rn(warp_sum(total_of_lane(shared)));
            const uint64_t target = __double2ull_ru(double{sampling.top_p} * all);
            return target > 0 ? target : 1;
          },
          [&](auto&& use) {
            candidates.each([&](float weight, int place) {
              if (weight < floor) return;
              use(kOneBits - __float_as_uint(weight), place, [&] { return scale.mass(weight); });
            });
          });
      const float weight = border.reached ? __uint_as_float(kOneBits - border.distance) : floor;
      kept = Kept::from(weight, border.reached ? border.last : INT_MAX);
      if (border.reached && border.last < 0) {
        kept = Kept::equals(weight);
        before_last = border.missing - 1;
        last_search = false;
      }
    }
    if (last_search && sampling.min_p > kept.least) kept = Kept::from(sampling.min_p, INT_MAX);
  }

#pragma unroll 1
  for (;;) {
    const int place = block_find_place(
        shared, candidates, kept,
        [&](float value) { return greedy ? uint64_t{1} : scale.mass(value); },
        [&](uint64_t sum) {
          return greedy || !last_search ? before_last : uniform_part(shared.uniform, sum);
        });
    if (last_search) return place;
    if (place >= 0 && lane_index() == 0) shared.place = place;
    __syncthreads();
    kept = Kept::from(kept.least, shared.place);
    if (sampling.min_p > kept.least) kept = Kept::from(sampling.min_p, INT_MAX);
    last_search = true;
  }
}

// One warp. As SequenceTable::draw(). `stop`: of the lane, -1 if none.
__device__ void note_token(const DrawTask& task, int head, int id, int drawn, int count, int stop,
                           int token) {
  const int stops = __any_sync(kWholeWarp, stop == token) ? 1 : 0;
  if (lane_index() != 0) return;
  atomicOr(&task.seen[int64_t{id} * task.seen_words + token / 32], 1u << (token % 32));
  DeviceSequence& sequence = task.sequences[id];
  sequence.token = token;
  sequence.drawn = drawn + 1;
  sequence.stopped = stops;
  DeviceDraws& draws = task.draws[head];
  draws.tokens[count] = token;
  draws.count = count + 1;
  draws.stopped = stops;
}

// The same, by an address that stays in a register: else every loop works it out again, from a
// special register that is slow to read.
__device__ __forceinline__ DrawShared& by_address(DrawShared& shared) {
#if defined(__CUDA_ARCH__)
  uint32_t address = shared_address(&shared);
  asm volatile("" : "+r"(address));
  return *static_cast<DrawShared*>(__cvta_shared_to_generic(address));
#else
  return shared;
#endif
}

// One block for each head.
__global__ void __launch_bounds__(kDrawThreads, 2) draw_tokens_kernel(DrawTask task) {
  grid_dependency_release();
  __shared__ DrawShared storage;
  DrawShared& shared = by_address(storage);
  if (threadIdx.x < kBins) shared.low[threadIdx.x] = shared.high[threadIdx.x] = 0;
  if (threadIdx.x == 0) shared.member_count[0] = 0;
  grid_dependency_wait();
  // Three loads, one after the other, lie ahead: the head, its sequence, the logits. All others are
  // under way at the same time.
  const int head = static_cast<int>(blockIdx.x), lane = lane_index();
  const int id = task.heads[head].sequence;
  const int count = task.draws[head].count;
  if (id < 0) return;
  const DeviceSequence& sequence = task.sequences[id];
  const int any_stop = lane < LegalRows::kMostStopIds ? sequence.stop_ids[lane] : -1;
  const int stop = lane < sequence.stop_count ? any_stop : -1;
  const int stopped = sequence.stopped, length = sequence.length, most = sequence.max_tokens;
  const Sampling sampling = {sequence.temperature, sequence.top_p, sequence.min_p,
                             sequence.top_k,       sequence.seed,  sequence.drawn};
  LogitSource source;
  source.places = legal_places(sequence, sampling.drawn % kSlots, stop, task.vocabulary);
  source.logits = task.logits + head * task.logits_pitch;
  source.seen = task.seen + int64_t{id} * task.seen_words;
  source.penalty = sequence.repetition_penalty;
  const bool done = length >= most || count >= SliceResult::kMostTokens;
  if ((stopped != 0) | done) {
    if (threadIdx.x == 0) task.draws[head].stopped = stopped;
    return;
  }

  Candidates candidates(shared, source);
  const int place = draw_place(shared, candidates, source.places.count, sampling);
  if (place >= 0) {
    note_token(task, head, id, sampling.drawn, count, stop, source.places.id(place));
  }
}

}  // namespace

void draw_tokens(Queue& queue, const DrawTask& task) {
  if (task.count <= 0) return;
  // Logits come from the L2 cache; how many are legal, the device alone knows.
  const int64_t bytes = task.count * int64_t{sizeof(DeviceSequence)};
  queue.launch({"draw", bytes, 0},
               {.grid = {static_cast<unsigned>(task.count)},
                .block = {kDrawThreads},
                .overlap_previous = true},
               draw_tokens_kernel, task);
}

}  // namespace lyre::cuda
