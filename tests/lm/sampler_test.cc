#include "lyre/lm/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "lyre/base/philox.h"
#include "support/expect_error.h"

namespace lyre::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Everything off: draws from softmax(logits).
SamplingParams plain() {
  SamplingParams params;
  params.temperature = 1;
  params.top_p = 1;
  params.repetition_penalty = 1;
  return params;
}

std::vector<float> probabilities(const SamplingParams& params, const std::vector<float>& logits,
                                 const std::vector<TokenId>& history = {},
                                 const std::vector<TokenId>& candidates = {}) {
  std::vector<float> out(logits.size(), -1.0f);
  Sampler(params).probabilities(logits, history, candidates, out);
  return out;
}

std::vector<float> logs(std::vector<float> weights) {
  for (float& weight : weights) weight = std::log(weight);
  return weights;
}

void expect_near(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-6) << i;
}

std::vector<float> random_logits(size_t n, uint32_t seed, float spread) {
  std::vector<float> logits(n);
  for (size_t i = 0; i < n; ++i) {
    const auto words = philox4x32({static_cast<uint32_t>(i), 0, 0, 0}, {seed, 0});
    logits[i] = spread * normal_from_bits(words[0], words[1])[0];
  }
  return logits;
}

TEST(Sampler, PlainIsSoftmax) {
  expect_near(probabilities(plain(), logs({0.1f, 0.2f, 0.3f, 0.4f})), {0.1f, 0.2f, 0.3f, 0.4f});
}

TEST(Sampler, TemperatureSharpens) {
  SamplingParams params = plain();
  params.temperature = 0.5f;  // squares the ratios
  expect_near(probabilities(params, logs({1, 2})), {0.2f, 0.8f});
}

TEST(Sampler, PenaltyCountsADistinctIdOnceAndPushesBothSignsDown) {
  SamplingParams params = plain();
  params.repetition_penalty = 2;
  // 4 -> 2, -1 -> -2; id 2 was not seen.
  const std::vector<float> out = probabilities(params, {4, -1, 0.5f}, {0, 1, 0, 1, 0});
  const double sum = std::exp(2.0) + std::exp(-2.0) + std::exp(0.5);
  expect_near(out,
              {static_cast<float>(std::exp(2.0) / sum), static_cast<float>(std::exp(-2.0) / sum),
               static_cast<float>(std::exp(0.5) / sum)});
}

TEST(Sampler, TopKKeepsTiesWithTheLast) {
  SamplingParams params = plain();
  params.top_k = 2;
  expect_near(probabilities(params, logs({1, 2, 1, 0.5f})), {0.25f, 0.5f, 0.25f, 0});
  params.top_k = 1;
  expect_near(probabilities(params, logs({1, 2, 1, 0.5f})), {0, 1, 0, 0});
  params.top_k = 100;
  expect_near(probabilities(params, logs({1, 3})), {0.25f, 0.75f});
}

TEST(Sampler, TopPKeepsTheSmallestSufficientSet) {
  SamplingParams params = plain();
  const std::vector<float> logits = logs({0.1f, 0.5f, 0.15f, 0.25f});
  params.top_p = 0.7f;
  expect_near(probabilities(params, logits), {0, 2.0f / 3, 0, 1.0f / 3});
  params.top_p = 0.8f;
  expect_near(probabilities(params, logits), {0, 0.5f / 0.9f, 0.15f / 0.9f, 0.25f / 0.9f});
  params.top_p = 1e-6f;  // at least one
  expect_near(probabilities(params, logits), {0, 1, 0, 0});
}

TEST(Sampler, TopPPrefersTheLowerIdAmongEquals) {
  SamplingParams params = plain();
  params.top_p = 0.5f;
  expect_near(probabilities(params, {1, 1, 1, 1}), {0.5f, 0.5f, 0, 0});
}

TEST(Sampler, MinPIsRelativeToTheMostLikely) {
  SamplingParams params = plain();
  params.min_p = 0.5f;
  expect_near(probabilities(params, logs({0.6f, 0.29f, 0.31f})), {0.6f / 0.91f, 0, 0.31f / 0.91f});
}

TEST(Sampler, CandidatesRestrictAndRenormalise) {
  expect_near(probabilities(plain(), logs({0.1f, 0.2f, 0.3f, 0.4f}), {}, {1, 2}),
              {0, 0.4f, 0.6f, 0});
}

TEST(Sampler, GreedyTakesTheHighestAndTheLowestIdAmongEquals) {
  SamplingParams params = plain();
  params.temperature = 0;
  Sampler sampler(params);
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 2, 3}, {}, {}, 0), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 2, 3}, {}, std::vector<TokenId>{2, 3}, 0), 3);
  // A penalty moves the choice.
  params.repetition_penalty = 2;
  EXPECT_EQ(Sampler(params).sample(std::vector<float>{1, 3, 2, 1}, std::vector<TokenId>{1}, {}, 0),
            2);
}

TEST(Sampler, NumbersThatAreNoneNeverWinNorCrash) {
  for (const float temperature : {0.0f, 0.7f}) {
    SamplingParams params = plain();
    params.temperature = temperature;
    params.top_p = 0.9f;
    params.top_k = 3;
    params.repetition_penalty = 1.3f;
    Sampler sampler(params);
    const auto draw = [&](const std::vector<float>& logits) {
      return sampler.sample(logits, std::vector<TokenId>{0, 1}, {}, 5);
    };
    EXPECT_EQ(draw({kNaN, 1, kNaN, -kInfinity}), 1);
    EXPECT_EQ(draw({-kInfinity, kNaN, -1e30f, kNaN}), 2);
    EXPECT_EQ(draw({0, 1, kInfinity, 2}), 2);
    EXPECT_EQ(draw({kNaN, kNaN, kNaN}), 0);
    EXPECT_EQ(draw({-kInfinity, -kInfinity}), 0);
  }
}

TEST(Sampler, SameSeedAndPositionSameTokenWhateverCameBefore) {
  const std::vector<float> logits = random_logits(1000, 1, 2.0f);
  SamplingParams params = plain();
  params.seed = 7;
  Sampler used(params);
  for (int64_t position = 0; position < 50; ++position) {
    const TokenId expected = Sampler(params).sample(logits, {}, {}, position);
    EXPECT_EQ(used.sample(logits, {}, {}, position), expected);
  }
  SamplingParams other = params;
  other.seed = uint64_t{7} << 32;
  int same = 0;
  for (int64_t position = 0; position < 50; ++position) {
    same += Sampler(params).sample(logits, {}, {}, position) ==
            Sampler(other).sample(logits, {}, {}, position);
  }
  EXPECT_LT(same, 10);
}

TEST(Sampler, DrawsWithTheProbabilitiesItNames) {
  SamplingParams params = plain();
  params.temperature = 0.8f;
  params.top_p = 0.95f;
  params.seed = 3;
  const std::vector<float> logits = random_logits(40, 2, 1.5f);
  const std::vector<float> expected = probabilities(params, logits);
  constexpr int kDraws = 20000;
  std::vector<int> counts(logits.size());
  Sampler sampler(params);
  for (int64_t i = 0; i < kDraws; ++i)
    ++counts[static_cast<size_t>(sampler.sample(logits, {}, {}, i))];
  double chi_squared = 0;
  int kept = 0;
  for (size_t v = 0; v < logits.size(); ++v) {
    if (expected[v] == 0) {
      EXPECT_EQ(counts[v], 0);
      continue;
    }
    const double mean = double{expected[v]} * kDraws;
    chi_squared += (counts[v] - mean) * (counts[v] - mean) / mean;
    ++kept;
  }
  // Mean kept - 1, variance 2 (kept - 1): five standard deviations above.
  EXPECT_LT(chi_squared, kept - 1 + 5 * std::sqrt(2.0 * (kept - 1)));
}

// The partial selection against a full sort in double precision.
TEST(Sampler, TopPOfAFullVocabularyEqualsASort) {
  for (const float spread : {0.0f, 0.3f, 3.0f}) {
    const std::vector<float> logits = random_logits(157'000, 4, spread);
    for (const float top_p : {0.05f, 0.8f, 0.999f}) {
      SamplingParams params = plain();
      params.top_p = top_p;
      const std::vector<float> out = probabilities(params, logits);
      std::vector<size_t> order(logits.size());
      std::iota(order.begin(), order.end(), size_t{0});
      std::stable_sort(order.begin(), order.end(),
                       [&](size_t a, size_t b) { return logits[a] > logits[b]; });
      double sum = 0;
      for (const float logit : logits) sum += std::exp(double{logit});
      double mass = 0;
      size_t kept = 0;
      while (mass < double{top_p} * sum) mass += std::exp(double{logits[order[kept++]]});
      size_t actual = 0;
      for (const float probability : out) actual += probability > 0;
      // Single-precision weights: the border may move by a few of thousands.
      EXPECT_NEAR(static_cast<double>(actual), static_cast<double>(kept),
                  1e-4 * static_cast<double>(kept) + 1);
      for (size_t i = 0; i + 20 < kept; i += 997) EXPECT_GT(out[order[i]], 0) << i;
    }
  }
}

TEST(Validate, AcceptsTheDefaultsAndTheBorders) {
  EXPECT_TRUE(validate(SamplingParams{}).ok());
  SamplingParams params = plain();
  params.temperature = 0;
  EXPECT_TRUE(validate(params).ok());
}

TEST(Validate, NamesFieldRangeAndValue) {
  const auto with = [](auto change) {
    SamplingParams params;
    change(params);
    return validate(params);
  };
  for (const float bad : {-0.1f, 101.0f, kNaN, kInfinity}) {
    EXPECT_TRUE(is_error(with([&](auto& p) { p.temperature = bad; }), ErrorCode::kInvalidArgument,
                         {"temperature", "0 (greedy) to 100", "found"}));
  }
  for (const float bad : {0.0f, -1.0f, 1.1f, kNaN}) {
    EXPECT_TRUE(
        is_error(with([&](auto& p) { p.top_p = bad; }), ErrorCode::kInvalidArgument, {"top_p"}));
  }
  EXPECT_TRUE(is_error(with([](auto& p) { p.top_k = -1; }), ErrorCode::kInvalidArgument,
                       {"top_k", "found -1"}));
  for (const float bad : {-0.1f, 1.0f, kNaN}) {
    EXPECT_TRUE(
        is_error(with([&](auto& p) { p.min_p = bad; }), ErrorCode::kInvalidArgument, {"min_p"}));
  }
  for (const float bad : {0.0f, -1.0f, kInfinity, kNaN}) {
    EXPECT_TRUE(is_error(with([&](auto& p) { p.repetition_penalty = bad; }),
                         ErrorCode::kInvalidArgument, {"repetition_penalty"}));
  }
}

}  // namespace
}  // namespace lyre::test
