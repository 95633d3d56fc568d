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

/// Places and ids: as LegalRows.
struct LegalPlaces {
  int count = 0;
  int stops_below = 0;  // stop ids below the codes
  int first = 0;        // id of the first code
  int codes = 0;
  const int32_t* stops_above = nullptr;  // those that follow the codes
  const int32_t* stop_ids = nullptr;

  __device__ bool has_stops() const { return count != codes; }
  __device__ int id(int place) const {
    if (place < stops_below) return stop_ids[place];
    const int code = place - stops_below;
    return code < codes ? first + code : stops_above[code - codes];
  }
};

/// Whole warps.
__device__ __forceinline__ LegalPlaces legal_places(const DeviceSequence& sequence, int slot,
                                                    int vocabulary) {
  LegalPlaces places;
  places.stop_ids = sequence.stop_ids;
  if (sequence.legal_slots == 0) {
    places.count = places.codes = vocabulary;
    return places;
  }
  places.codes = sequence.codebook_size;
  places.first = sequence.first_code + slot * places.codes;
  places.count = places.codes;
  if (slot != 0) return places;
  const int lane = lane_index();
  const bool is_stop = lane < sequence.stop_count;
  const int stop = is_stop ? sequence.stop_ids[lane] : 0;
  places.stops_below = __popc(__ballot_sync(kWholeWarp, is_stop && stop < places.first));
  const int above =
      __popc(__ballot_sync(kWholeWarp, is_stop && stop >= places.first + places.codes));
  places.stops_above = sequence.stop_ids + (sequence.stop_count - above);
  places.count += places.stops_below + above;
  return places;
}

/// exp(x) for x <= 0: the operations of draw_token.cc in their order, none of them fused.
__device__ __forceinline__ float exp_nonpositive(float x) {
  const float clamped = x > -87.0f ? x : -87.0f;
  const float shifted = __fadd_rn(__fmul_rn(clamped, 1.44269504f), 0x1.8p23f);
  const float n = __fsub_rn(shifted, 0x1.8p23f);
  const float r =
      __fsub_rn(__fsub_rn(clamped, __fmul_rn(n, 0.693359375f)), __fmul_rn(n, -2.12194440e-4f));
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

/// From logits to the weights of what is kept.
struct WeightRules {
  float least_logit = -kInfinity;  // top-k
  float best = 0;
  float temperature = 1;
  float logit_floor = -kInfinity;  // below it a weight is certainly below the border
  // Kept: heavier than the border, or as heavy and not after last_at_border.
  float border = 0;
  int last_at_border = INT_MAX;

  __device__ float weight(float logit) const {
    if (logit < least_logit) return 0;
    return exp_nonpositive(__fdiv_rn(__fsub_rn(logit, best), temperature));
  }
  __device__ float keep(float weight, int place) const {
    return weight > border || (weight == border && place <= last_at_border) ? weight : 0;
  }
  __device__ void set_border(float weight, int last) {
    border = weight;
    last_at_border = last;
    // ln(border) less far more than what logarithm and weight err by, rounded down on the way.
    if (border > 0) {
      const float x = __fsub_rd(logf(border), 0.01f);
      logit_floor = __fadd_rd(best, __fmul_rd(temperature, x));
    }
  }
};

/// Where the logits are and how they are read.
struct LogitSource {
  LegalPlaces places;
  const float* logits = nullptr;   // (V)
  const uint32_t* seen = nullptr;  // a bit an id
  float penalty = 1;

  /// Logits of places first, first + 32, ...: penalised, NaN as -infinity, infinity as the largest
  /// float, no -0. -infinity from `end` on. All loads are on the way before the first is needed.
  template <int kChunks>
  __device__ void read(int first, int end, float (&out)[kChunks]) const {
    int ids[kChunks];
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      const int place = first + k * kWarp, code = place - places.stops_below;
      ids[k] = place < end && code >= 0 && code < places.codes ? places.first + code : -1;
    }
    if (places.has_stops()) {
#pragma unroll
      for (int k = 0; k < kChunks; ++k) {
        const int place = first + k * kWarp;
        if (ids[k] < 0 && place < end) ids[k] = places.id(place);
      }
    }
#pragma unroll
    for (int k = 0; k < kChunks; ++k) out[k] = ids[k] >= 0 ? logits[ids[k]] : -kInfinity;
    if (penalty != 1.0f) {
      uint32_t bits[kChunks];
#pragma unroll
      for (int k = 0; k < kChunks; ++k) bits[k] = ids[k] >= 0 ? seen[ids[k] / 32] : 0;
#pragma unroll
      for (int k = 0; k < kChunks; ++k) {
        if (ids[k] < 0 || (bits[k] >> (ids[k] % 32) & 1u) == 0) continue;
        out[k] = out[k] < 0 ? __fmul_rn(out[k], penalty) : __fdiv_rn(out[k], penalty);
      }
    }
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      if (!(out[k] <= FLT_MAX)) out[k] = isnan(out[k]) ? -kInfinity : FLT_MAX;
      if (out[k] == 0) out[k] = 0;  // -0 and 0 are equals
    }
  }
};

/// Up to kMost candidates, kept in registers: each logit is read and each weight computed once.
class NearCandidates {
 public:
  static constexpr int kChunks = 16;  // of 32 places, of a warp, at a time
  static constexpr int kMost = kChunks * kDrawThreads;

  __device__ explicit NearCandidates(const LogitSource& source)
      : chunks_((source.places.count + kDrawThreads - 1) / kDrawThreads),
        first_(warp_index() * chunks_ * kWarp) {
    const int end = min(first_ + chunks_ * kWarp, source.places.count);
    source.read(first_ + lane_index(), end, values_);
  }

  __device__ int groups() const { return 1; }
  __device__ int chunks(int) const { return chunks_; }
  /// Of the lane's first value; the next are a warp apart.
  __device__ int place(int) const { return first_ + lane_index(); }
  __device__ void read_logits(int, float (&out)[kChunks]) const {
#pragma unroll
    for (int k = 0; k < kChunks; ++k) out[k] = values_[k];
  }
  /// Turns the logits into weights: once, after top-k.
  __device__ void weigh(const WeightRules& rules) {
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      if (k < chunks_) values_[k] = rules.weight(values_[k]);
    }
  }
  __device__ void read_weights(int, const WeightRules& rules, float (&out)[kChunks]) const {
#pragma unroll
    for (int k = 0; k < kChunks; ++k) out[k] = rules.keep(values_[k], place(0) + k * kWarp);
  }

 private:
  int chunks_;
  int first_;
  float values_[kChunks];
};

/// Any number of candidates, read and weighed again in every pass: they come from the L2 cache.
class FarCandidates {
 public:
  static constexpr int kChunks = 8;

  __device__ explicit FarCandidates(const LogitSource& source)
      : source_(source),
        groups_((source.places.count + kChunks * kDrawThreads - 1) / (kChunks * kDrawThreads)),
        first_(warp_index() * groups_ * kChunks * kWarp) {}

  __device__ int groups() const { return groups_; }
  __device__ int chunks(int) const { return kChunks; }
  __device__ int place(int group) const { return first_ + group * kChunks * kWarp + lane_index(); }
  __device__ void read_logits(int group, float (&out)[kChunks]) const {
    source_.read(place(group), source_.places.count, out);
  }
  __device__ void weigh(const WeightRules&) {}
  __device__ void read_weights(int group, const WeightRules& rules, float (&out)[kChunks]) const {
    read_logits(group, out);
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      out[k] = out[k] < rules.logit_floor
                   ? 0
                   : rules.keep(rules.weight(out[k]), place(group) + k * kWarp);
    }
  }

 private:
  LogitSource source_;
  int groups_;
  int first_;
};

}  // namespace lyre::cuda
