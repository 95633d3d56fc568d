#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lm/generate.h"
#include "lm/lm_golden.h"
#include "lyre/lm/reference/reference_model.h"
#include "support/compare.h"

namespace lyre::test {
namespace {

// Both sides compute in fp32 and differ in the order of their sums only.
constexpr double kTolerance = 1e-4;

class ReferenceGolden : public testing::TestWithParam<std::string> {
 protected:
  ReferenceGolden() : golden_(GetParam()) {
    LanguageModelOptions options;
    options.folder = golden_.model_folder();
    options.backend = LanguageModelBackend::kReference;
    options.max_sequences = 1;
    options.max_sequence_tokens = 512;
    auto model = ReferenceModel::open(options);
    LYRE_CHECK(model.ok());
    model_ = *std::move(model);
  }

  SequenceId open(float penalty, bool legal_slots) {
    auto id = model_->open(greedy_options(golden_.layout(), penalty, legal_slots, 512));
    LYRE_CHECK(id.ok());
    return *id;
  }

  LmGolden golden_;
  std::unique_ptr<ReferenceModel> model_;
};

TEST_P(ReferenceGolden, HiddenStatesOfEveryLayer) {
  const std::vector<TokenId> prompt = golden_.ids("lm.2.prompt_ids");
  const int layers = model_->info().layers;
  std::vector<std::vector<float>> hidden(static_cast<size_t>(layers) + 1);
  model_->set_tap([&](int layer, int position, std::span<const float> values) {
    std::vector<float>& all = hidden[static_cast<size_t>(layer)];
    EXPECT_EQ(all.size(), static_cast<size_t>(position) * values.size());
    all.insert(all.end(), values.begin(), values.end());
  });
  step_one(*model_, open(1, false), prompt);
  for (int layer = 0; layer <= layers; ++layer) {
    const std::string name = "lm.2.hidden." + std::to_string(layer);
    EXPECT_TRUE(all_close(hidden[static_cast<size_t>(layer)], golden_.floats(name), kTolerance))
        << name;
  }
}

TEST_P(ReferenceGolden, Logits) {
  for (int i = 0; i < LmGolden::kPrompts; ++i) {
    const SequenceId id = open(1, false);
    generate(*model_, id, golden_.ids(LmGolden::name("lm", i, "prompt_ids")), 1);
    EXPECT_TRUE(all_close(model_->last_logits(id),
                          golden_.floats(LmGolden::name("lm", i, "prefill_logits_last")),
                          kTolerance));
    for (int step = 1; step <= 3; ++step) {
      step_one(*model_, id, {});
      const std::string name = LmGolden::name("lm", i, "step" + std::to_string(step) + "_logits");
      EXPECT_TRUE(all_close(model_->last_logits(id), golden_.floats(name), kTolerance)) << name;
    }
    model_->close(id);
  }
}

struct GreedyRun {
  const char* name;
  float penalty;
  bool legal_slots;
};
constexpr GreedyRun kRuns[] = {
    {"greedy", 1, false}, {"greedy_rep1.3", 1.3f, false}, {"greedy_legal_rep1.1", 1.1f, true}};

TEST_P(ReferenceGolden, GreedyTokensExactly) {
  for (int i = 0; i < LmGolden::kPrompts; ++i) {
    const std::vector<TokenId> prompt = golden_.ids(LmGolden::name("lm", i, "prompt_ids"));
    for (const GreedyRun& run : kRuns) {
      const std::vector<TokenId> expected = golden_.ids(LmGolden::name("lm", i, run.name));
      const SequenceId id = open(run.penalty, run.legal_slots);
      EXPECT_EQ(generate(*model_, id, prompt, expected.size()), expected)
          << "prompt " << i << ", " << run.name;
      if (std::string(run.name) == "greedy") {
        EXPECT_TRUE(all_close(model_->last_logits(id),
                              golden_.floats(LmGolden::name("lm", i, "greedy_last_logits")),
                              kTolerance));
      }
      model_->close(id);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Voices, ReferenceGolden, testing::Values("demo", "tiny"),
                         [](const auto& voice) { return voice.param; });

}  // namespace
}  // namespace lyre::test
