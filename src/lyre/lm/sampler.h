#pragma once

#include <span>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/sampling_params.h"
#include "lyre/base/token.h"

namespace lyre {

/// kInvalidArgument naming the field, the legal range and the value found.
Status validate(const SamplingParams& params);

/// Draws tokens; a value. The draw depends on (logits, history, seed, position) only, never on
/// batch, thread or neighbour. The reference of every backend's sampling. Not thread-safe (scratch
/// memory), one for each sequence or thread.
class Sampler {
 public:
  explicit Sampler(const SamplingParams& params);

  /// logits: (V,) raw logits, left changed. history: prompt and drawn ids. position: number of
  /// tokens drawn so far. candidates: the ids that may be drawn (legal slots), empty for all.
  TokenId sample(std::span<float> logits, std::span<const TokenId> history,
                 std::span<const TokenId> candidates, int64_t position);

  /// Probabilities (V,) that sample() draws from, for tests.
  void probabilities(std::span<float> logits, std::span<const TokenId> history,
                     std::span<const TokenId> candidates, std::span<float> out);

 private:
  SamplingParams params_;
  std::vector<std::pair<float, TokenId>> scratch_;
};

}  // namespace lyre
