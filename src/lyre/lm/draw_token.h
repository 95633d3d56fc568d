#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lyre/base/sampling_params.h"
#include "lyre/base/token.h"
#include "lyre/lm/token_set.h"

namespace lyre {

/// Vocabulary rows [begin, end).
struct TokenRange {
  TokenId begin = 0, end = 0;

  bool operator==(const TokenRange&) const = default;
};

/// Memory that drawing needs, taken once; one for each thread.
class DrawScratch {
 public:
  struct Candidate {
    float value;  // logit, then weight: probability up to a common factor
    TokenId id;
  };
  explicit DrawScratch(int vocabulary) {
    candidates.reserve(static_cast<size_t>(vocabulary));
    values.reserve(static_cast<size_t>(vocabulary));
  }

  std::vector<Candidate> candidates;
  std::vector<float> values;
};

/// Fills scratch.candidates with what may be drawn, in ascending order of id, and its weights
/// (> 0 for at least one), and returns their sum. Steps, each on what the step before left:
///   repetition penalty, once for each distinct id of `seen` (null: none): positive logits divided,
///   others multiplied; temperature; top-k (ties with the k-th stay); top-p: the smallest set, most
///   likely first and the lower id first among equals, whose probabilities sum to top_p or more;
///   min-p: what has at least min_p times the highest probability.
/// Temperature 0 leaves one candidate: the highest logit, the lowest id among equals.
/// Logits that are no numbers never win: NaN counts as -infinity, +infinity as the largest float;
/// where nothing is left, the first candidate is drawn.
/// logits (V,); ranges ascending, disjoint, not all empty, inside V. Allocates nothing.
double weigh_candidates(const SamplingParams& params, std::span<const float> logits,
                        std::span<const TokenRange> ranges, const TokenSet* seen,
                        DrawScratch& scratch);

/// Draws from weigh_candidates() by the inverse of the cumulative distribution over ascending ids.
/// The uniform number is words 0 and 1 of Philox with key (seed low, seed high) and counter
/// (position low, position high, 0x4C4D, 0), 53 bits of them.
TokenId draw_token(const SamplingParams& params, std::span<const float> logits,
                   std::span<const TokenRange> ranges, const TokenSet* seen, int64_t position,
                   DrawScratch& scratch);

}  // namespace lyre
