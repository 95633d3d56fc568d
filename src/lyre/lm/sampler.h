#pragma once

#include <span>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/sampling_params.h"
#include "lyre/base/token.h"
#include "lyre/lm/draw_token.h"
#include "lyre/lm/token_set.h"

namespace lyre {

/// kInvalidArgument naming the field, the legal range and the value found.
Status validate(const SamplingParams& params);

/// Draws tokens; a value. The draw depends on (logits, history, seed, position) only, never on
/// batch, thread or neighbour. The reference of every backend's sampling: draw_token.h says what
/// each step does. Not thread-safe (scratch memory), one for each sequence or thread.
class Sampler {
 public:
  /// Precondition: validate(params).
  explicit Sampler(const SamplingParams& params);

  /// logits: (V,) raw logits. history: prompt and drawn ids. position: number of tokens drawn so
  /// far. candidates: the ids that may be drawn (legal slots), ascending; empty for all.
  TokenId sample(std::span<const float> logits, std::span<const TokenId> history,
                 std::span<const TokenId> candidates, int64_t position);

  /// Probabilities (V,) that sample() draws from, for tests.
  void probabilities(std::span<const float> logits, std::span<const TokenId> history,
                     std::span<const TokenId> candidates, std::span<float> out);

 private:
  void prepare(std::span<const float> logits, std::span<const TokenId> history,
               std::span<const TokenId> candidates);

  SamplingParams params_;
  TokenSet seen_;
  std::vector<TokenRange> ranges_;
  DrawScratch scratch_{0};
};

}  // namespace lyre
