#include "lyre/lm/draw_token.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "lyre/base/check.h"
#include "lyre/base/philox.h"

namespace lyre {
namespace {

using Candidate = DrawScratch::Candidate;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr uint32_t kDrawPurpose = 0x4C4D;  // "LM": draws of other purposes never share a counter

// exp(x) for x <= 0, within 2 units in the last place; 0 below -87. Branch-free and without library
// calls so that compilers vectorise the loop around it, and the same on every machine. exp(x) =
// 2^n * exp(r), |r| <= ln(2)/2, Taylor polynomial of degree 7.
inline float exp_nonpositive(float x) noexcept {
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 0x1.8p23f;  // adding it rounds to an integer held in the low bits
  const float clamped = x > -87.0f ? x : -87.0f;
  const float shifted = clamped * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = clamped - n * kLn2High - n * kLn2Low;
  float p = 1.0f / 5040.0f;
  for (const float c : {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f})
    p = p * r + c;
  const uint32_t power = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;  // 2^n
  const float value = p * std::bit_cast<float>(power);
  return x > -87.0f ? value : 0.0f;
}

bool more_likely(const Candidate& a, const Candidate& b) noexcept {
  return a.value != b.value ? a.value > b.value : a.id < b.id;
}

bool lower_id(const Candidate& a, const Candidate& b) noexcept { return a.id < b.id; }

void gather(const SamplingParams& params, std::span<const float> logits,
            std::span<const TokenRange> ranges, const TokenSet* seen,
            std::vector<Candidate>& candidates) {
  candidates.clear();
  const float penalty = params.repetition_penalty;
  const bool penalise = seen != nullptr && penalty != 1.0f;
  for (const TokenRange range : ranges) {
    for (TokenId id = range.begin; id < range.end; ++id) {
      float logit = logits[static_cast<size_t>(id)];
      if (penalise && seen->contains(id)) logit = logit < 0 ? logit * penalty : logit / penalty;
      if (!(logit <= std::numeric_limits<float>::max())) {
        logit = std::isnan(logit) ? -kInfinity : std::numeric_limits<float>::max();
      }
      candidates.push_back({logit, id});
    }
  }
}

// Keeps the k highest logits and all that equal the k-th; the order stays by id.
void keep_top_k(size_t k, DrawScratch& scratch) {
  std::vector<Candidate>& all = scratch.candidates;
  if (k == 0 || k >= all.size()) return;
  scratch.values.clear();
  for (const Candidate& candidate : all) scratch.values.push_back(candidate.value);
  const auto kth = scratch.values.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(scratch.values.begin(), kth, scratch.values.end(), std::greater<>());
  std::erase_if(all, [least = *kth](const Candidate& c) { return c.value < least; });
}

// Keeps the most likely candidates that together have `top_p` of `sum`.
void keep_top_p(double top_p, double sum, std::vector<Candidate>& candidates) {
  // All below this weight have less than 1 - top_p together: none of them is needed. It leaves a
  // few dozen of a hundred thousand candidates to sort.
  const double least = (1.0 - top_p) * sum / static_cast<double>(candidates.size());
  std::erase_if(candidates, [least](const Candidate& c) { return c.value < least; });
  size_t kept = 0;
  double mass = 0;
  for (size_t block = 64; kept < candidates.size() && mass < top_p * sum; block *= 4) {
    const auto first = candidates.begin() + static_cast<std::ptrdiff_t>(kept);
    const size_t count = std::min(block, candidates.size() - kept);
    const auto last = first + static_cast<std::ptrdiff_t>(count);
    std::partial_sort(first, last, candidates.end(), more_likely);
    for (auto c = first; c != last && mass < top_p * sum; ++c, ++kept) mass += c->value;
  }
  candidates.resize(std::max<size_t>(kept, 1));
  std::sort(candidates.begin(), candidates.end(), lower_id);
}

double sum_weights(std::span<const Candidate> candidates) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.value;
  return sum;
}

void keep_only(Candidate winner, std::vector<Candidate>& candidates) {
  candidates.assign(1, {1.0f, winner.id});
}

}  // namespace

double weigh_candidates(const SamplingParams& params, std::span<const float> logits,
                        std::span<const TokenRange> ranges, const TokenSet* seen,
                        DrawScratch& scratch) {
  std::vector<Candidate>& candidates = scratch.candidates;
  gather(params, logits, ranges, seen, candidates);
  LYRE_CHECK(!candidates.empty());
  const Candidate best = *std::min_element(candidates.begin(), candidates.end(), more_likely);
  if (params.temperature <= 0 || best.value == -kInfinity) {
    keep_only(best, candidates);
    return 1.0;
  }
  keep_top_k(static_cast<size_t>(params.top_k), scratch);
  const float temperature = params.temperature;
  for (Candidate& c : candidates) c.value = exp_nonpositive((c.value - best.value) / temperature);
  if (params.top_p < 1.0f) {
    keep_top_p(static_cast<double>(params.top_p), sum_weights(candidates), candidates);
  }
  if (params.min_p > 0) {
    // The most likely candidate has weight exp(0) = 1.
    std::erase_if(candidates, [&](const Candidate& c) { return c.value < params.min_p; });
  }
  return sum_weights(candidates);
}

TokenId draw_token(const SamplingParams& params, std::span<const float> logits,
                   std::span<const TokenRange> ranges, const TokenSet* seen, int64_t position,
                   DrawScratch& scratch) {
  const double sum = weigh_candidates(params, logits, ranges, seen, scratch);
  const auto low = [](uint64_t value) { return static_cast<uint32_t>(value); };
  const auto high = [](uint64_t value) { return static_cast<uint32_t>(value >> 32); };
  const auto counter = static_cast<uint64_t>(position);
  const std::array<uint32_t, 4> words = philox4x32({low(counter), high(counter), kDrawPurpose, 0},
                                                   {low(params.seed), high(params.seed)});
  const uint64_t bits = (uint64_t{words[0]} << 32 | words[1]) >> 11;
  double left = static_cast<double>(bits) * 0x1.0p-53 * sum;
  TokenId drawn = scratch.candidates.front().id;
  for (const Candidate& candidate : scratch.candidates) {
    if (candidate.value <= 0) continue;
    drawn = candidate.id;  // the last one too, where rounding leaves a rest
    left -= candidate.value;
    if (left < 0) break;
  }
  return drawn;
}

}  // namespace lyre
