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

/// Places and ids: as LegalRows. Every function: whole warps.
struct LegalPlaces {
  int count = 0;
  int stops_below = 0;  // stop ids below the codes
  int first = 0;        // id of the first code
  int codes = 0;
  int stops_above = 0;  // the first of those that follow the codes, as an index
  int stop = -1;        // the stop id with this lane's index; -1: none

  __device__ bool has_stops() const { return count != codes; }
  __device__ int last_code() const { return first + codes - 1; }
  /// Of this lane's place. Any number where it is none.
  __device__ int id(int place) const { return choose(place, first + place - stops_below, stop); }
  /// `of_code` where the place is a code, else `of_stop` of the lane with the stop's index.
  template <class T>
  __device__ T choose(int place, T of_code, T of_stop) const {
    if (!has_stops()) return of_code;
    const int code = place - stops_below;
    const T other =
        __shfl_sync(kWholeWarp, of_stop, place < stops_below ? place : stops_above + code - codes);
    return code >= 0 && code < codes ? of_code : other;
  }
};

/// `stop`: the sequence's with this lane's index, -1 if there is none.
__device__ __forceinline__ LegalPlaces legal_places(const DeviceSequence& sequence, int slot,
                                                    int stop, int vocabulary) {
  LegalPlaces places;
  places.stop = stop;
  if (sequence.legal_slots == 0) {
    places.count = places.codes = vocabulary;
    return places;
  }
  places.codes = sequence.codebook_size;
  places.first = sequence.first_code + slot * places.codes;
  places.count = places.codes;
  if (slot != 0) return places;
  places.stops_below = __popc(__ballot_sync(kWholeWarp, stop >= 0 && stop < places.first));
  const int above = __popc(__ballot_sync(kWholeWarp, stop > places.last_code()));
  places.stops_above = sequence.stop_count - above;
  places.count += places.stops_below + above;
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
  __device__ explicit Divisor(float divisor)
      : scale_(divisor < 0x1p-40f ? 0x1p80f : 1.0f),  // no reciprocal or remainder gets too small
        divisor_(__fmul_rn(divisor, scale_)),
        reciprocal_(__frcp_rn(divisor_)) {}

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

/// Copies logits to shared memory, a batch of a warp at a time: all on the way at once, which
/// registers of a loop that is not unrolled cannot do. Whole warps.
class LogitReader {
 public:
  /// To values[0], values[kWarp], ...: this lane's, at places first, first + kWarp, ...
  __device__ LogitReader(const LogitSource& source, float* values, int chunks)
      : source_(source), values_(values), chunks_(chunks) {}

  __device__ void start(int first) {
    const LegalPlaces& places = source_.places;
    const int lane = lane_index();
    first_ = first;
    if (source_.penalty != 1.0f) {
      // The codes of a batch lie within 17 words.
      first_word_ = (places.first + max(first - lane - places.stops_below, 0)) / 32;
      const int word = first_word_ + lane;
      seen_codes_ = word <= places.last_code() / 32 ? source_.seen[word] : 0;
      seen_stops_ = places.has_stops() && places.stop >= 0 ? source_.seen[places.stop / 32] : 0;
    }
#pragma unroll 1
    for (int k = 0; k < chunks_; ++k) {
      const int place = first + k * kWarp;
      const int id = places.id(place);
      if (place < places.count) {
        copy_async(values_ + k * kWarp, source_.logits + id);
      } else {
        values_[k * kWarp] = -kInfinity;
      }
    }
  }

  /// After start(). Penalises; NaN is -infinity, infinity the largest float, -0 is 0; -infinity
  /// beyond the last place. Returns the greatest.
  __device__ float finish() {
    wait_for_copies();
    const LegalPlaces& places = source_.places;
    float best = -kInfinity;
#pragma unroll 1
    for (int k = 0; k < chunks_; ++k) {
      float value = values_[k * kWarp];
      if (source_.penalty != 1.0f) {
        const int place = first_ + k * kWarp;
        const int id = places.id(place);
        const uint32_t of_code = __shfl_sync(kWholeWarp, seen_codes_, id / 32 - first_word_);
        const uint32_t seen = places.choose(place, of_code, seen_stops_);
        if ((seen >> (id % 32) & 1u) != 0) {
          value = value < 0 ? __fmul_rn(value, source_.penalty) : __fdiv_rn(value, source_.penalty);
        }
      }
      value = isnan(value) ? -kInfinity : fminf(value, FLT_MAX);
      value = __fadd_rn(value, 0.0f);  // -0 and 0 are equals
      values_[k * kWarp] = value;
      best = fmaxf(best, value);
    }
    return best;
  }

 private:
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
  int first_ = 0;
  int first_word_ = 0;
  uint32_t seen_codes_ = 0, seen_stops_ = 0;  // words of seen: the lane's
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
  for (int k = 0; k < chunks; ++k) values[k * kWarp] = rules.weight(values[k * kWarp]);
}

/// The candidates' values, in shared memory: logits, then weights. More than kMost are read, and
/// weighed, in every pass, a batch after the other: they come from the L2 cache. Whole warps.
class Candidates {
 public:
  static constexpr int kPair = 2;                      // values worked on at the same time
  static constexpr int kBatch = kValueChunks * kWarp;  // of a warp
  static constexpr int kMost = kBatch * kDrawWarps;
  static_assert(kValueChunks % kPair == 0 && kValueChunks < kWarp);

  __device__ Candidates(DrawShared& shared, const LogitSource& source)
      : source_(source),
        values_(&shared.values[warp_index()][0][lane_index()]),
        batches_((source.places.count + kMost - 1) / kMost),
        chunks_(batches_ > 1 ? kValueChunks
                             : (source.places.count + kDrawThreads - 1) / kDrawThreads),
        first_(warp_index() * batches_ * chunks_ * kWarp + lane_index()) {
    if (chunks_ % kPair != 0) values_[chunks_ * kWarp] = -kInfinity;
  }

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
#pragma unroll 1
      for (int k = 0; k < chunks_; k += kPair) {
        float* at = values_ + k * kWarp;
        float values[kPair];
#pragma unroll
        for (int i = 0; i < kPair; ++i) values[i] = at[i * kWarp];
        if (!use(values, first + k * kWarp, at)) return;
      }
    }
  }

  LogitSource source_;
  WeightRules rules_;
  bool weighed_ = false;
  float* values_;
  int batches_;
  int chunks_;
  int first_;
};

}  // namespace lyre::cuda
