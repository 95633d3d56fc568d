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
  float factor;

  __device__ explicit MassScale(int candidates) {
    const int shift = 63 - (candidates > 1 ? 32 - __clz(candidates - 1) : 0);
    factor = __uint_as_float(static_cast<uint32_t>(127 + shift) << 23);
  }
  __device__ uint64_t mass(float weight) const { return __float2ull_rz(__fmul_rn(weight, factor)); }
};

// Calls use(value, place) for each of this thread's candidates.
template <class Candidates, class Use>
__device__ __forceinline__ void each_logit(const Candidates& candidates, Use&& use) {
  for (int group = 0; group < candidates.groups(); ++group) {
    float values[Candidates::kChunks];
    candidates.read_logits(group, values);
#pragma unroll
    for (int k = 0; k < Candidates::kChunks; ++k) {
      if (k < candidates.chunks(group)) use(values[k], candidates.place(group) + k * kWarp);
    }
  }
}

template <class Candidates, class Use>
__device__ __forceinline__ void each_weight(const Candidates& candidates, const WeightRules& rules,
                                            Use&& use) {
  for (int group = 0; group < candidates.groups(); ++group) {
    float values[Candidates::kChunks];
    candidates.read_weights(group, rules, values);
#pragma unroll
    for (int k = 0; k < Candidates::kChunks; ++k) {
      if (k < candidates.chunks(group)) use(values[k]);
    }
  }
}

// The first place at which the sum of mass_of(weight), by ascending place, exceeds left(sum of
// all): in the warp that has it; -1 in the others.
template <class Candidates, class MassOf, class Left>
__device__ int block_find_place(DrawShared& shared, int& turn, const Candidates& candidates,
                                const WeightRules& rules, MassOf&& mass_of, Left&& left_of) {
  uint64_t own = 0;
  each_weight(candidates, rules, [&](float weight) { own += mass_of(weight); });
  own = warp_sum(own);
  const Totals totals = block_totals(shared, turn, own);
  uint64_t left = left_of(totals.all);
  if (left < totals.before || left - totals.before >= own) return -1;
  left -= totals.before;
  constexpr int kChunks = Candidates::kChunks;
  for (int group = 0; group < candidates.groups(); ++group) {
    float values[kChunks];
    candidates.read_weights(group, rules, values);
    uint64_t sums[kChunks];  // of the chunks, in every lane; independent, so that shuffles overlap
    uint64_t of_group = 0;
    if (candidates.groups() > 1) {
#pragma unroll
      for (int k = 0; k < kChunks; ++k) of_group += mass_of(values[k]);
      of_group = warp_sum(of_group);
      if (left >= of_group) {
        left -= of_group;
        continue;
      }
    }
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      sums[k] = k < candidates.chunks(group) ? warp_sum(mass_of(values[k])) : 0;
    }
    float chosen = 0;  // value of this lane in the chunk that has the place
    int chunk = -1;
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      if (chunk >= 0) continue;
      if (left < sums[k]) {
        chunk = k;
        chosen = values[k];
      } else {
        left -= sums[k];
      }
    }
    const unsigned reached = __ballot_sync(kWholeWarp, warp_prefix(mass_of(chosen)) > left);
    return candidates.place(group) - lane_index() + chunk * kWarp + __ffs(reached) - 1;
  }
  return -1;  // not reached: the sum of the groups is that of the warp
}

// A uniform number of 53 bits, from [0, 1), times `sum`, rounded down.
__device__ __forceinline__ uint64_t uniform_part(uint64_t seed, int drawn, uint64_t sum) {
  const Philox philox = philox4x32(static_cast<uint32_t>(drawn), 0, kDrawPurpose, 0,
                                   static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  const uint64_t bits = (uint64_t{philox.words[0]} << 32 | philox.words[1]) >> 11;
  return __umul64hi(bits, sum) << 11 | (bits * sum) >> 53;
}

// What a draw needs of a sequence; read before anything of it is written.
struct Sampling {
  float temperature, top_p, min_p;
  int top_k;
  uint64_t seed;
  int drawn;
};

// The place drawn, in one warp; -1 in the others. Every thread of the block.
template <class Candidates>
__device__ int draw_place(DrawShared& shared, Candidates& candidates, int count,
                          const Sampling& sampling) {
  Best own = {0, 0xffffffffu};  // no candidate has key 0: that would be a NaN
  each_logit(candidates, [&](float logit, int place) {
    const uint32_t key = key_of(logit);
    if (key > own.key) own = {key, static_cast<uint32_t>(place)};
  });
  const Best best = block_best(shared, own);
  WeightRules rules;
  rules.best = from_key(best.key);
  rules.temperature = sampling.temperature;
  if (sampling.temperature <= 0 || rules.best == -kInfinity) {
    return warp_index() == 0 ? static_cast<int>(best.place) : -1;
  }

  int turn = 0;
  if (sampling.top_k > 0 && sampling.top_k < count) {
    // Places beyond the last candidate count as -infinity: they come after all that matter.
    const Border kth = block_border<true, 32, 22, 11>(
        shared, turn, static_cast<uint64_t>(sampling.top_k), [&](auto&& use) {
          each_logit(candidates, [&](float logit, int) {
            use(best.key - key_of(logit), [] { return uint64_t{1}; });
          });
        });
    rules.least_logit = from_key(best.key - kth.distance);
  }
  candidates.weigh(rules);

  const MassScale scale(count);
  if (sampling.top_p < 1.0f) {
    uint64_t sum = 0;
    each_weight(candidates, rules, [&](float weight) { sum += scale.mass(weight); });
    const double all =
        __ull2double_rn(block_totals(shared, turn, warp_sum(sum)).all);  // in units of the scale
    const double top_p = sampling.top_p;
    // All below this weight have less than 1 - top_p together and are not needed; it leaves few to
    // add up in shared memory.
    const double least = (1.0 - top_p) * all / (scale.factor * static_cast<double>(count));
    rules.set_border(__double2float_rd(least), INT_MAX);
    const uint64_t target = __double2ull_ru(top_p * all);
    const Border border =
        block_border<false, 30, 20, 10>(shared, turn, target > 0 ? target : 1, [&](auto&& use) {
          each_weight(candidates, rules, [&](float weight) {
            if (weight == 0) return;
            use(kOneBits - __float_as_uint(weight), [&] { return scale.mass(weight); });
          });
        });
    if (border.reached) {
      const float weight = __uint_as_float(kOneBits - border.distance);
      const uint64_t mass = scale.mass(weight);
      const int last = block_find_place(
          shared, turn, candidates, rules,
          [&](float w) { return w == weight ? mass : uint64_t{0}; },
          [&](uint64_t) { return border.missing - 1; });
      if (last >= 0 && lane_index() == 0) shared.last_tie = last;
      __syncthreads();
      rules.set_border(weight, shared.last_tie);
    }
  }
  if (sampling.min_p > rules.border) rules.set_border(sampling.min_p, INT_MAX);
  return block_find_place(
      shared, turn, candidates, rules, [&](float weight) { return scale.mass(weight); },
      [&](uint64_t sum) { return uniform_part(sampling.seed, sampling.drawn, sum); });
}

// One warp. As SequenceTable::draw().
__device__ void note_token(const DrawTask& task, int head, int sequence_id, int drawn, int token) {
  DeviceSequence& sequence = task.sequences[sequence_id];
  const int lane = lane_index();
  const bool stops =
      __any_sync(kWholeWarp, lane < sequence.stop_count && sequence.stop_ids[lane] == token);
  if (lane != 0) return;
  task.seen[int64_t{sequence_id} * task.seen_words + token / 32] |= 1u << (token % 32);
  sequence.token = token;
  sequence.drawn = drawn + 1;
  sequence.stopped = stops ? 1 : 0;
  DeviceDraws& draws = task.draws[head];
  draws.tokens[draws.count] = token;
  draws.count += 1;
  draws.stopped = sequence.stopped;
}

// One block for each head.
__global__ void __launch_bounds__(kDrawThreads) draw_tokens_kernel(DrawTask task) {
  grid_dependency_release();
  __shared__ DrawShared shared;
  reinterpret_cast<uint4*>(shared.low)[threadIdx.x] = {0, 0, 0, 0};
  reinterpret_cast<uint4*>(shared.high)[threadIdx.x] = {0, 0, 0, 0};
  grid_dependency_wait();
  const int head = static_cast<int>(blockIdx.x);
  const int id = task.heads[head].sequence;
  if (id < 0) return;
  const DeviceSequence& sequence = task.sequences[id];
  if (sequence.stopped != 0 || sequence.length >= sequence.max_tokens ||
      task.draws[head].count >= SliceResult::kMostTokens) {
    if (threadIdx.x == 0) task.draws[head].stopped = sequence.stopped;
    return;
  }
  const Sampling sampling = {sequence.temperature, sequence.top_p, sequence.min_p,
                             sequence.top_k,       sequence.seed,  sequence.drawn};
  LogitSource source;
  source.places = legal_places(sequence, sampling.drawn % kSlots, task.vocabulary);
  source.logits = task.logits + head * task.logits_pitch;
  source.seen = task.seen + int64_t{id} * task.seen_words;
  source.penalty = sequence.repetition_penalty;

  int place = -1;
  if (source.places.count <= NearCandidates::kMost) {
    NearCandidates candidates(source);
    place = draw_place(shared, candidates, source.places.count, sampling);
  } else {
    FarCandidates candidates(source);
    place = draw_place(shared, candidates, source.places.count, sampling);
  }
  if (place >= 0) note_token(task, head, id, sampling.drawn, source.places.id(place));
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
