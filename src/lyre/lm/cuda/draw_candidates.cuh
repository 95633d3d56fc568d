#pragma once

#include <cfloat>
#include <climits>
#include <cstdint>
#include <limits>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/lm/cuda/device_types.h"
#include "lyre/lm/cuda/draw_block.cuh"

// What one sequence may draw, spread over the threads of a block: places 0, 1, ... are the
// candidates by ascending id, and each warp has an interval of them.
namespace lyre::cuda {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Places and ids: as LegalRows. Functions: whole warps.
struct LegalPlaces {
  int count = 0;
  int stops_below = 0;  // stop ids below the codes: the first places
  int first = 0;        // id of the first code
  int codes = 0;
  int stop = -1;        // the stop id with this lane's index; -1: none
  int stop_place = -1;  // its place; -1: none, or a code

  __device__ bool has_stops() const { return count != codes; }
  __device__ bool is_code(int place) const {
    return static_cast<unsigned>(place - stops_below) < static_cast<unsigned>(codes);
  }
  /// Of one place, the same in all lanes.
  __device__ int id(int place) const {
    if (is_code(place)) return first + place - stops_below;
    const unsigned lane = __ballot_sync(kWholeWarp, stop_place == place);
    return __shfl_sync(kWholeWarp, stop, __ffs(static_cast<int>(lane)) - 1);
  }
};

/// `stop`: the sequence's with this lane's index, -1 if there is none.
__device__ __forceinline__ LegalPlaces legal_places(const DeviceSequence& sequence, int slot,
                                                    int stop, int vocabulary) {
  // Read before it is known whether they count: every load after a branch would be one more in a
  // row.
  const int codes = sequence.codebook_size, first = sequence.first_code;
  const int stop_count = sequence.stop_count;
  const bool all = sequence.legal_slots == 0;
  LegalPlaces places;
  places.stop = stop;
  places.codes = all ? vocabulary : codes;
  places.first = all ? 0 : first + slot * codes;
  places.count = places.codes;
  if (all || slot != 0) return places;
  const bool below = stop >= 0 && stop < places.first;
  const bool above = stop >= places.first + places.codes;
  places.stops_below = __popc(__ballot_sync(kWholeWarp, below));
  const int stops_above = __popc(__ballot_sync(kWholeWarp, above));
  places.count += places.stops_below + stops_above;
  if (below) places.stop_place = lane_index();
  if (above) places.stop_place = places.count - stop_count + lane_index();
  return places;
}

/// exp(x) for x <= 0, 0 for NaN: the operations of draw_token.cc in their order. None is fused but
/// one, whose product is exact.
__device__ __forceinline__ float exp_nonpositive(float x) {
  const float clamped = fmaxf(x, -87.0f);
  const float shifted = __fadd_rn(__fmul_rn(clamped, 1.44269504f), 0x1.8p23f);
  const float n = __fsub_rn(shifted, 0x1.8p23f);
  // |n| has 7 bits, the constant 9.
  const float r = __fsub_rn(__fmaf_rn(n, -0.693359375f, clamped), __fmul_rn(n, -2.12194440e-4f));
  float p = 1.0f / 5040.0f;
  p = __fadd_rn(__fmul_rn(p, r), 1.0f / 720.0f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f / 120.0f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f / 24.0f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f / 6.0f);
  p = __fadd_rn(__fmul_rn(p, r), 0.5f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f);
  const uint32_t power = (__float_as_uint(shifted) + 127u) << 23;
  const float value = __fmul_rn(p, __uint_as_float(power));
  return x > -87.0f ? value : 0.0f;
}

/// Division by the same number over and over: bit for bit a / divisor wherever exp_nonpositive()
/// tells quotients apart, in a third of the instructions. The reciprocal is the nearest float, one
/// correction leaves less than a unit in the last place, and the remainder after it is exact, so
/// that the second rounds as the division does (Markstein). Quotients that overflow become NaN.
class Divisor {
 public:
  Divisor() = default;
  // Assigned, not initialised: nvcc leaves initialisers to the host's compiler, too.
  __device__ explicit Divisor(float divisor) {
    scale_ = divisor < 0x1p-40f ? 0x1p80f : 1.0f;  // no reciprocal or remainder gets too small
    divisor_ = __fmul_rn(divisor, scale_);
    reciprocal_ = __fdiv_rn(1.0f, divisor_);
  }

  __device__ float quotient(float a) const {
    a = __fmul_rn(a, scale_);
    float q = __fmul_rn(a, reciprocal_);
    q = __fmaf_rn(__fmaf_rn(-divisor_, q, a), reciprocal_, q);
    return __fmaf_rn(__fmaf_rn(-divisor_, q, a), reciprocal_, q);
  }

 private:
  float scale_ = 1, divisor_ = 1, reciprocal_ = 1;
};

/// From logits to weights.
struct WeightRules {
  float least_logit = -kInfinity;  // top-k
  float best = 0;
  Divisor temperature;

  __device__ float weight(float logit) const {
    const float weight = exp_nonpositive(temperature.quotient(__fsub_rn(logit, best)));
    return logit < least_logit ? 0 : weight;
  }
};

/// Where the logits are.
struct LogitSource {
  LegalPlaces places;
  const float* logits = nullptr;   // (V)
  const uint32_t* seen = nullptr;  // a bit an id
  float penalty = 1;
};

inline constexpr int kPair = 2;  // values that are worked on at the same time

/// Copies logits to shared memory, a batch of a warp at a time: all on the way at once, which
/// registers of a loop that is not unrolled cannot do. Whole warps.
class LogitReader {
 public:
  /// `values`: of the warp, (chunks, kWarp), `chunks` rounded up to whole pairs.
  __device__ LogitReader(const LogitSource& source, float* values, int chunks)
      : source_(source), values_(values), chunks_(chunks) {}

  /// Places first, first + 1, ...
  __device__ void start(int first) {
    const LegalPlaces& places = source_.places;
    const int lane = lane_index();
    code_ = first - places.stops_below + lane;
    stop_at_ = places.stop_place >= first && places.stop_place < first + chunks_ * kWarp
                   ? places.stop_place - first
                   : -1;
    seen_codes_ = seen_stop_ = 0;
    codes_end_ = max(min(places.codes, first - places.stops_below + chunks_ * kWarp), 0);
    // From chunk to chunk, a lane's bit of `seen` stays and its word is the next.
    const int first_word = (places.first + max(first - places.stops_below, 0)) / 32;
    const auto id = static_cast<unsigned>(places.first + code_ + 32 * kWarp);  // not negative
    word_ = static_cast<int>(id / 32) - kWarp - first_word;
    bit_ = 1u << (id % 32);
    if (source_.penalty != 1.0f) {
      // The codes of a batch lie within 17 words.
      const int word = first_word + lane;
      if (word <= (places.first + places.codes - 1) / 32) seen_codes_ = source_.seen[word];
      if (stop_at_ >= 0) seen_stop_ = source_.seen[places.stop / 32];
    }
    if (stop_at_ >= 0) stop_logit_ = source_.logits[places.stop];
    const float* codes = source_.logits + places.first;
#pragma unroll 2
    for (int k = 0; k < chunks_; ++k) {
      const int code = code_ + k * kWarp;
      if (is_code(code)) copy_async(&values_[k * kWarp + lane], codes + code);
    }
  }

  /// After start(). Penalises; NaN is -infinity, infinity the largest float, -0 is 0; -infinity
  /// beyond the last place. Returns the greatest.
  __device__ float finish() {
    wait_for_copies();
    const LegalPlaces& places = source_.places;
    float best = -kInfinity;
    float* at = values_ + lane_index();
#pragma unroll 1
    for (int k = 0; k < chunks_; k += kPair, at += kPair * kWarp) {
      float values[kPair];
      bool seen[kPair];
#pragma unroll
      for (int i = 0; i < kPair; ++i) {
        const int code = code_ + (k + i) * kWarp;
        const uint32_t word = __shfl_sync(kWholeWarp, seen_codes_, word_ + k + i);
        values[i] = is_code(code) ? at[i * kWarp] : -kInfinity;
        seen[i] = (word & bit_) != 0;
      }
#pragma unroll
      for (int i = 0; i < kPair; ++i) {
        if (seen[i]) values[i] = penalised(values[i]);
      }
#pragma unroll
      for (int i = 0; i < kPair; ++i) at[i * kWarp] = values[i] = cleaned(values[i]);
#pragma unroll
      for (int i = 0; i < kPair; ++i) best = fmaxf(best, values[i]);
    }
    if (places.has_stops()) {  // at the places of other lanes
      __syncwarp();
      if (stop_at_ >= 0) {
        const bool seen = (seen_stop_ >> (places.stop % 32) & 1u) != 0;
        const float value = cleaned(seen ? penalised(stop_logit_) : stop_logit_);
        values_[stop_at_] = value;
        best = fmaxf(best, value);
      }
      __syncwarp();
    }
    return best;
  }

 private:
  __device__ bool is_code(int code) const {
    return static_cast<unsigned>(code) < static_cast<unsigned>(codes_end_);
  }
  __device__ float penalised(float logit) const {
    return logit < 0 ? __fmul_rn(logit, source_.penalty) : __fdiv_rn(logit, source_.penalty);
  }
  static __device__ float cleaned(float logit) {
    const float finite = isnan(logit) ? -kInfinity : fminf(logit, FLT_MAX);
    return __fadd_rn(finite, 0.0f);  // -0 and 0 are equals
  }
  static __device__ void copy_async(float* to, const float* from) {
#if defined(__CUDA_ARCH__)
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(to)), "l"(from)
                 : "memory");
#else
    *to = *from;
#endif
  }
  static __device__ void wait_for_copies() {
#if defined(__CUDA_ARCH__)
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
  }

  LogitSource source_;
  float* values_;
  int chunks_;
  int code_ = 0;             // this lane's of the first chunk
  int codes_end_ = 0;        // behind the last in the batch
  int word_ = 0;             // the lane that has the word of the first code
  uint32_t bit_ = 0;         // in that word
  uint32_t seen_codes_ = 0;  // the lane's word
  int stop_at_ = -1;         // index of this lane's stop in the batch
  uint32_t seen_stop_ = 0;
  float stop_logit_ = 0;
};

/// Reads, and weighs if there are rules; apart from the loops that need it for many candidates
/// only.
static __device__ __noinline__ void read_again(LogitSource source, WeightRules rules, bool weigh,
                                               float* values, int first, int chunks) {
  LogitReader reader(source, values, chunks);
  reader.start(first);
  reader.finish();
  if (!weigh) return;
#pragma unroll 2
  for (int k = 0; k < chunks; ++k) {
    float& value = values[k * kWarp + lane_index()];
    value = rules.weight(value);
  }
}

/// The candidates' values, in shared memory: logits, then weights. More than kMost are read, and
/// weighed, in every pass, a batch after the other: they come from the L2 cache. Whole warps.
class Candidates {
 public:
  static constexpr int kBatch = kValueChunks * kWarp;  // of a warp
  static constexpr int kMost = kBatch * kDrawWarps;
  static_assert(kValueChunks % kPair == 0 && kValueChunks < kWarp);

  __device__ Candidates(DrawShared& shared, const LogitSource& source)
      : source_(source),
        values_(shared.values[warp_index()][0]),
        batches_((source.places.count + kMost - 1) / kMost),
        chunks_(batches_ > 1 ? kValueChunks
                             : (source.places.count + kDrawThreads - 1) / kDrawThreads),
        first_(warp_index() * batches_ * chunks_ * kWarp) {}

  /// Reads all logits and returns the greatest of this thread. Calls meanwhile() while the first
  /// are on the way.
  template <class Meanwhile>
  __device__ float read(Meanwhile&& meanwhile) {
    LogitReader reader(source_, values_, chunks_);
    float best = -kInfinity;
#pragma unroll 1
    for (int batch = 0; batch < batches_; ++batch) {
      reader.start(first_ + batch * kBatch);
      if (batch == 0) meanwhile();
      best = fmaxf(best, reader.finish());
    }
    return best;
  }

  /// Turns logits into weights and calls use(weight) for each. Once, after top-k.
  template <class Use>
  __device__ void weigh(const WeightRules& rules, Use&& use) {
    each_pair([&](float(&values)[kPair], int, float* at) {
#pragma unroll
      for (int i = 0; i < kPair; ++i) values[i] = rules.weight(values[i]);
#pragma unroll
      for (int i = 0; i < kPair; ++i) at[i * kWarp] = values[i];
#pragma unroll
      for (int i = 0; i < kPair; ++i) use(values[i]);
      return true;
    });
    rules_ = rules;
    weighed_ = true;
  }

  /// Calls use(value, place) for each of this thread's; -infinity or weight 0 beyond the last
  /// place.
  template <class Use>
  __device__ void each(Use&& use) {
    each_pair([&](float(&values)[kPair], int place, float*) {
#pragma unroll
      for (int i = 0; i < kPair; ++i) use(values[i], place + i * kWarp);
      return true;
    });
  }

  /// The same, until use(value, place) is false, in all lanes of a warp.
  template <class Use>
  __device__ void each_while(Use&& use) {
    each_pair([&](float(&values)[kPair], int place, float*) {
#pragma unroll 1
      for (int i = 0; i < kPair; ++i) {
        if (!use(i == 0 ? values[0] : values[1], place + i * kWarp)) return false;
      }
      return true;
    });
  }

 private:
  /// Calls use(values, place of the first, where the first is) until it is false.
  template <class Use>
  __device__ __forceinline__ void each_pair(Use&& use) {
#pragma unroll 1
    for (int batch = 0; batch < batches_; ++batch) {
      const int first = first_ + batch * kBatch;
      if (batches_ > 1) read_again(source_, rules_, weighed_, values_, first, chunks_);
      float* at = values_ + lane_index();
      int place = first + lane_index();
#pragma unroll 1
      for (int k = 0; k < chunks_; k += kPair, at += kPair * kWarp, place += kPair * kWarp) {
        float values[kPair];
#pragma unroll
        for (int i = 0; i < kPair; ++i) values[i] = at[i * kWarp];
        if (!use(values, place, at)) return;
      }
    }
  }

  LogitSource source_;
  WeightRules rules_;
  bool weighed_ = false;
  float* values_;  // of the warp, (kValueChunks, kWarp)
  int batches_;
  int chunks_;  // of a batch
  int first_;   // place of the warp
};

}  // namespace lyre::cuda
