#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lm/lm_golden.h"
#include "lyre/lm/sampler.h"

namespace lyre::test {
namespace {

class SamplerGolden : public testing::TestWithParam<std::string> {};

// What transformers' processors make of the same logits and history. Absolute, as probabilities
// are: fp32 softmax on both sides.
constexpr double kTolerance = 1e-6;

TEST_P(SamplerGolden, ProbabilitiesOfEverySetting) {
  const LmGolden golden(GetParam());
  const auto samplers = golden.samplers();
  ASSERT_EQ(samplers.size(), 9u);
  for (const auto& [pattern, params] : samplers) {
    for (int i = 0; i < LmGolden::kPrompts; ++i) {
      std::string name = pattern;
      name.replace(name.find("{i}"), 3, std::to_string(i));
      const std::vector<float> logits = golden.floats(LmGolden::name("sampler", i, "logits"));
      const std::vector<TokenId> history = golden.ids(LmGolden::name("sampler", i, "history"));
      std::vector<TokenId> candidates;
      if (params.legal_slots) {  // the state is at slot 0
        candidates.resize(static_cast<size_t>(golden.layout().codebook_size));
        std::iota(candidates.begin(), candidates.end(), golden.layout().slot_first(0));
        candidates.insert(candidates.begin(), golden.layout().stop_ids.front());
      }
      std::vector<float> actual(logits.size());
      Sampler(params).probabilities(logits, history, candidates, actual);
      const std::vector<float> expected = golden.floats(name);
      ASSERT_EQ(actual.size(), expected.size());
      size_t passed = 0, kept = 0, expected_kept = 0;
      for (size_t v = 0; v < actual.size(); ++v) {
        passed += std::abs(double{actual[v]} - double{expected[v]}) <= kTolerance;
        kept += actual[v] > 0;
        expected_kept += expected[v] > 0;
      }
      EXPECT_EQ(passed, expected.size()) << name;
      // Without a cut, fp32 softmax keeps values down to the smallest denormals and ours down to
      // exp(-87).
      const bool cuts = params.top_p < 1 || params.top_k > 0 || params.min_p > 0;
      if (cuts || params.temperature == 0) {
        EXPECT_EQ(kept, expected_kept) << name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Voices, SamplerGolden, testing::Values("demo", "tiny"),
                         [](const auto& voice) { return voice.param; });

}  // namespace
}  // namespace lyre::test
