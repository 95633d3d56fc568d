#include "lyre/lm/sampler.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "lyre/base/check.h"

namespace lyre {
namespace {

Error out_of_range(const char* field, const char* range, const std::string& found) {
  return {ErrorCode::kInvalidArgument,
          std::string(field) + ": expected " + range + ", found " + found};
}

}  // namespace

Status validate(const SamplingParams& params) {
  // Written so that NaN fails.
  if (!(params.temperature >= 0 && params.temperature <= 100)) {
    return out_of_range("temperature", "0 (greedy) to 100", std::to_string(params.temperature));
  }
  if (!(params.top_p > 0 && params.top_p <= 1)) {
    return out_of_range("top_p", "more than 0 and at most 1", std::to_string(params.top_p));
  }
  if (params.top_k < 0) {
    return out_of_range("top_k", "0 (off) or more", std::to_string(params.top_k));
  }
  if (!(params.min_p >= 0 && params.min_p < 1)) {
    return out_of_range("min_p", "0 (off) to less than 1", std::to_string(params.min_p));
  }
  if (!(params.repetition_penalty > 0 && params.repetition_penalty <= 100)) {
    return out_of_range("repetition_penalty", "more than 0 and at most 100",
                        std::to_string(params.repetition_penalty));
  }
  return ok_status();
}

Sampler::Sampler(const SamplingParams& params) : params_(params) {}

void Sampler::prepare(std::span<const float> logits, std::span<const TokenId> history,
                      std::span<const TokenId> candidates) {
  const auto vocabulary = static_cast<TokenId>(logits.size());
  seen_ = TokenSet(vocabulary);
  for (const TokenId token : history) {
    LYRE_CHECK(token >= 0 && token < vocabulary);
    seen_.insert(token);
  }
  ranges_.clear();
  if (candidates.empty()) ranges_.push_back({0, vocabulary});
  for (const TokenId id : candidates) {
    LYRE_CHECK(id >= 0 && id < vocabulary);
    LYRE_CHECK(ranges_.empty() || ranges_.back().end <= id);
    ranges_.push_back({id, id + 1});
  }
}

TokenId Sampler::sample(std::span<const float> logits, std::span<const TokenId> history,
                        std::span<const TokenId> candidates, int64_t position) {
  prepare(logits, history, candidates);
  return draw_token(params_, logits, ranges_, &seen_, position, scratch_);
}

void Sampler::probabilities(std::span<const float> logits, std::span<const TokenId> history,
                            std::span<const TokenId> candidates, std::span<float> out) {
  LYRE_CHECK(out.size() == logits.size());
  prepare(logits, history, candidates);
  const double sum = weigh_candidates(params_, logits, ranges_, &seen_, scratch_);
  std::fill(out.begin(), out.end(), 0.0f);
  for (const DrawScratch::Candidate& candidate : scratch_.candidates) {
    out[static_cast<size_t>(candidate.id)] = static_cast<float>(candidate.value / sum);
  }
}

}  // namespace lyre
