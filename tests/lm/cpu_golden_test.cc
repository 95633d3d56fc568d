#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "lm/generate.h"
#include "lm/lm_golden.h"
#include "lyre/lm/open_language_model.h"
#include "support/compare.h"

namespace lyre::test {
namespace {

// `tolerance` is that of logits, relative to their root mean square. The weights are PyTorch's and
// sums are fp32 on both sides: what differs is the rounding of keys and values to fp16, or of the
// weights to int8.
struct Variant {
  const char* name;
  WeightFormat weights;
  KvFormat kv;
  double tolerance;
};
constexpr Variant kVariants[] = {{"f32_kv", WeightFormat::kAsStored, KvFormat::kF32, 1e-4},
                                 {"f16_kv", WeightFormat::kAsStored, KvFormat::kF16, 5e-3},
                                 {"int8", WeightFormat::kInt8, KvFormat::kF16, 1e-1}};

class CpuGolden : public testing::TestWithParam<std::tuple<std::string, Variant>> {
 protected:
  CpuGolden() : golden_(std::get<0>(GetParam())), variant_(std::get<1>(GetParam())) {
    LanguageModelOptions options;
    options.folder = golden_.model_folder();
    options.weights = variant_.weights;
    options.kv = variant_.kv;
    options.max_sequences = 2;
    options.max_sequence_tokens = 512;
    auto model = open_language_model(options, threads_);
    LYRE_CHECK(model.ok());
    model_ = *std::move(model);
  }

  SequenceId open(float penalty, bool legal_slots) {
    auto id = model_->open(greedy_options(golden_.layout(), penalty, legal_slots, 512));
    LYRE_CHECK(id.ok());
    return *id;
  }

  ThreadPool threads_{2};
  LmGolden golden_;
  Variant variant_;
  std::unique_ptr<LanguageModel> model_;
};

TEST_P(CpuGolden, Logits) {
  for (int i = 0; i < LmGolden::kPrompts; ++i) {
    std::vector<TokenId> ids = golden_.ids(LmGolden::name("lm", i, "prompt_ids"));
    const std::vector<TokenId> greedy = golden_.ids(LmGolden::name("lm", i, "greedy"));
    for (const char* tensor :
         {"prefill_logits_last", "step1_logits", "step2_logits", "greedy_last_logits"}) {
      if (std::string(tensor) == "step1_logits") ids.push_back(greedy[0]);
      if (std::string(tensor) == "step2_logits") ids.push_back(greedy[1]);
      if (std::string(tensor) == "greedy_last_logits") {
        ids.insert(ids.end(), greedy.begin() + 2, greedy.end() - 1);
      }
      const SequenceId id = open(1, false);
      generate(*model_, id, ids, 1, 200);
      EXPECT_TRUE(all_close(model_->last_logits(id),
                            golden_.floats(LmGolden::name("lm", i, tensor)), variant_.tolerance))
          << "prompt " << i << ", " << tensor;
      model_->close(id);
    }
  }
}

// Greedy tokens may leave PyTorch's only where its two best logits were nearer to each other than
// the rounding that this variant adds.
TEST_P(CpuGolden, GreedyTokensUntilTheMarginIsGone) {
  struct GreedyRun {
    const char* name;
    float penalty;
    bool legal_slots;
  };
  for (const GreedyRun& run :
       {GreedyRun{"greedy", 1, false}, GreedyRun{"greedy_rep1.3", 1.3f, false},
        GreedyRun{"greedy_legal_rep1.1", 1.1f, true}}) {
    for (int i = 0; i < LmGolden::kPrompts; ++i) {
      const std::string tensor = LmGolden::name("lm", i, run.name);
      const std::vector<TokenId> expected = golden_.ids(tensor);
      const std::vector<float> margins = golden_.floats(tensor + "_margin");
      const double rms = difference(golden_.floats(LmGolden::name("lm", i, "prefill_logits_last")),
                                    golden_.floats(LmGolden::name("lm", i, "prefill_logits_last")))
                             .rms_expected;
      const SequenceId id = open(run.penalty, run.legal_slots);
      const std::vector<TokenId> drawn = generate(
          *model_, id, golden_.ids(LmGolden::name("lm", i, "prompt_ids")), expected.size());
      model_->close(id);
      const auto first =
          std::mismatch(drawn.begin(), drawn.end(), expected.begin(), expected.end());
      if (first.second == expected.end()) continue;
      const auto step = static_cast<size_t>(first.second - expected.begin());
      EXPECT_LE(margins[step], 2 * variant_.tolerance * rms) << tensor << " at step " << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Voices, CpuGolden,
                         testing::Combine(testing::Values("demo", "tiny"),
                                          testing::ValuesIn(kVariants)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" + std::get<1>(test.param).name;
                         });

}  // namespace
}  // namespace lyre::test
