// What PyTorch computed for the demo and the tiny voice, against the CUDA backend: logits, greedy
// tokens, and that these do not depend on how they are asked for.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "gpu/model_under_test.h"
#include "lm/generate.h"
#include "lm/lm_golden.h"
#include "lyre/lm/open_language_model.h"
#include "support/compare.h"
#include "support/expect_error.h"

namespace lyre::test {
namespace {

constexpr int kMostTokens = 512;  // of a sequence

struct GreedyRun {
  const char* name;
  float penalty;
  bool legal_slots;
};
constexpr GreedyRun kRuns[] = {
    {"greedy", 1, false}, {"greedy_rep1.3", 1.3f, false}, {"greedy_legal_rep1.1", 1.1f, true}};
constexpr GreedyRun kLegal = kRuns[2];

class VoiceGolden : public testing::TestWithParam<std::tuple<std::string, ModelFormat>> {
 protected:
  VoiceGolden() : golden_(std::get<0>(GetParam())), format_(std::get<1>(GetParam())) {}

  void SetUp() override {
    LYRE_NEED_MODEL_BACKEND();
    if (!serves(format_)) GTEST_SKIP() << "another backend's format";
    LanguageModelOptions options;
    options.folder = golden_.model_folder();
    options.max_sequences = 40;
    options.max_sequence_tokens = kMostTokens;
    options.max_batch_tokens = 640;
    auto model = open_under_test(options, format_, threads_);
    if (!model.ok()) {
      // A shape that the kernels are not built for is refused by name.
      ASSERT_TRUE(is_error(model, ErrorCode::kInvalidArgument, {"head_dim"}));
      GTEST_SKIP() << model.error().message;
    }
    model_ = *std::move(model);
  }

  std::vector<TokenId> prompt(int i) const {
    return golden_.ids(LmGolden::name("lm", i, "prompt_ids"));
  }
  std::vector<TokenId> greedy(int i, const GreedyRun& run) const {
    return golden_.ids(LmGolden::name("lm", i, run.name));
  }

  SequenceId open(const GreedyRun& run, int max_tokens = kMostTokens) {
    auto id =
        model_->open(greedy_options(golden_.layout(), run.penalty, run.legal_slots, max_tokens));
    LYRE_CHECK(id.ok());
    return *id;
  }

  // The difference of two logits may move by this much by rounding alone.
  double margin_bound(int i) const {
    const std::vector<float> logits =
        golden_.floats(LmGolden::name("lm", i, "prefill_logits_last"));
    return 2 * format_.tolerance * difference(logits, logits).rms_expected;
  }

  /// `drawn` are PyTorch's tokens of prompt i from `first` on, as far as they go, unless its two
  /// best were too near to each other at the first that differs.
  testing::AssertionResult follows(const std::vector<TokenId>& drawn, int i, const GreedyRun& run,
                                   size_t first = 0) {
    const std::vector<TokenId> expected = greedy(i, run);
    const std::vector<float> margins =
        golden_.floats(LmGolden::name("lm", i, run.name) + "_margin");
    if (drawn.empty()) return testing::AssertionFailure() << "nothing was drawn";
    for (size_t k = 0; k < drawn.size(); ++k) {
      const size_t step = first + k;
      if (step >= expected.size()) {
        return testing::AssertionFailure() << "drawn beyond PyTorch's " << expected.size();
      }
      if (drawn[k] == expected[step]) continue;
      const double bound = margin_bound(i);
      auto verdict = static_cast<double>(margins[step]) <= bound ? testing::AssertionSuccess()
                                                                 : testing::AssertionFailure();
      return verdict << "prompt " << i << ", " << run.name << ", step " << step << ": " << drawn[k]
                     << ", expected " << expected[step] << " with a margin of " << margins[step]
                     << ", bound " << bound;
    }
    return testing::AssertionSuccess();
  }

  void expect_logits(std::span<const float> actual, std::span<const float> expected,
                     const std::string& what) {
    ASSERT_TRUE(all_close(actual, expected, format_.tolerance)) << what;
    EXPECT_GE(difference(actual, expected).snr_db, format_.snr_db) << what;
  }

  // All draw at the same time, `most_tokens` a step, from their prompts to `most` tokens or the
  // stop; `stagger`: sequence k enters at step k.
  std::vector<std::vector<TokenId>> together(const std::vector<int>& prompts, const GreedyRun& run,
                                             size_t most, int most_tokens = 1,
                                             bool stagger = false) {
    const size_t count = prompts.size();
    std::vector<SequenceId> ids(count, -1);
    std::vector<std::vector<TokenId>> inputs, drawn(count);
    for (const int i : prompts) inputs.push_back(prompt(i));
    std::vector<bool> over(count, false);
    for (size_t step = 0; !std::ranges::all_of(over, [](bool o) { return o; }); ++step) {
      std::vector<Slice> slices;
      std::vector<size_t> who;
      size_t tokens = 0;
      for (size_t k = 0; k < count; ++k) {
        if (over[k] || (stagger && k > step)) continue;
        const bool enters = ids[k] < 0;
        if (tokens + (enters ? inputs[k].size() : 1) > 640) continue;
        if (enters) ids[k] = open(run);
        tokens += enters ? inputs[k].size() : 1;
        slices.push_back({ids[k], enters ? inputs[k] : std::span<const TokenId>{}, most_tokens});
        who.push_back(k);
      }
      std::vector<SliceResult> results(slices.size());
      const Status status = model_->step(slices, results);
      if (!status.ok()) ADD_FAILURE() << status.error().message;
      LYRE_CHECK(status.ok());
      for (size_t s = 0; s < slices.size(); ++s) {
        const size_t k = who[s];
        drawn[k].insert(drawn[k].end(), results[s].tokens, results[s].tokens + results[s].count);
        over[k] = results[s].stopped || results[s].count == 0 || drawn[k].size() >= most;
      }
    }
    for (size_t k = 0; k < count; ++k) {
      model_->close(ids[k]);
      if (drawn[k].size() > most) drawn[k].resize(most);
    }
    return drawn;
  }

  ThreadPool threads_{2};
  LmGolden golden_;
  ModelFormat format_;
  std::unique_ptr<LanguageModel> model_;
};

TEST_P(VoiceGolden, Logits) {
  double worst_db = 1e9;
  for (int i = 0; i < LmGolden::kPrompts; ++i) {
    std::vector<TokenId> ids = prompt(i);
    const std::vector<TokenId> drawn = greedy(i, kRuns[0]);
    for (const char* tensor :
         {"prefill_logits_last", "step1_logits", "step2_logits", "greedy_last_logits"}) {
      if (std::string(tensor) == "step1_logits") ids.push_back(drawn[0]);
      if (std::string(tensor) == "step2_logits") ids.push_back(drawn[1]);
      if (std::string(tensor) == "greedy_last_logits") {
        ids.insert(ids.end(), drawn.begin() + 2, drawn.end() - 1);
      }
      const SequenceId id = open(kRuns[0]);
      generate(*model_, id, ids, 1, 200);
      const std::vector<float> expected = golden_.floats(LmGolden::name("lm", i, tensor));
      expect_logits(model_->last_logits(id), expected,
                    "prompt " + std::to_string(i) + ", " + tensor);
      worst_db = std::min(worst_db, difference(model_->last_logits(id), expected).snr_db);
      model_->close(id);
    }
  }
  std::printf("logits against PyTorch's in fp32: at least %.1f dB\n", worst_db);
}

// The same context reached by decoding, not by a prompt: other kernels, and keys and values that
// were written one at a time.
TEST_P(VoiceGolden, LogitsAfterDecoding) {
  for (int i = 0; i < LmGolden::kPrompts; ++i) {
    const std::vector<TokenId> expected = greedy(i, kRuns[0]);
    const SequenceId id = open(kRuns[0]);
    std::vector<TokenId> drawn = generate(*model_, id, prompt(i), 1);
    for (size_t step = 1; step <= 3 && drawn.back() == expected[step - 1]; ++step) {
      drawn.push_back(step_one(*model_, id, {}).tokens[0]);
      expect_logits(
          model_->last_logits(id),
          golden_.floats(LmGolden::name("lm", i, "step" + std::to_string(step) + "_logits")),
          "prompt " + std::to_string(i) + ", step " + std::to_string(step));
    }
    EXPECT_TRUE(follows(drawn, i, kRuns[0]));
    model_->close(id);
  }
}

TEST_P(VoiceGolden, GreedyTokensUntilTheMarginIsGone) {
  for (const GreedyRun& run : kRuns) {
    for (int i = 0; i < LmGolden::kPrompts; ++i) {
      const std::vector<TokenId> expected = greedy(i, run);
      const SequenceId id = open(run);
      const std::vector<TokenId> drawn = generate(*model_, id, prompt(i), expected.size());
      model_->close(id);
      EXPECT_TRUE(follows(drawn, i, run));
      const auto same = std::mismatch(drawn.begin(), drawn.end(), expected.begin(), expected.end());
      std::printf("%s, prompt %d: %d of %d tokens as PyTorch's\n", run.name, i,
                  static_cast<int>(same.first - drawn.begin()), static_cast<int>(expected.size()));
    }
  }
}

TEST_P(VoiceGolden, BatchesOfTheSamePrompt) {
  for (const size_t batch : {1u, 2u, 5u, 16u, 17u, 33u}) {
    const auto drawn = together(std::vector<int>(batch, 0), kLegal, 50);
    EXPECT_TRUE(follows(drawn[0], 0, kLegal)) << "batch of " << batch;
    // The same numbers go through the same kernels: not even a small margin excuses a difference.
    for (const std::vector<TokenId>& other : drawn) EXPECT_EQ(other, drawn[0]) << batch;
  }
}

TEST_P(VoiceGolden, BatchesOfMixedPrompts) {
  for (const size_t batch : {2u, 5u, 16u, 17u, 33u}) {
    std::vector<int> prompts;
    for (size_t k = 0; k < batch; ++k) prompts.push_back(static_cast<int>(k) % LmGolden::kPrompts);
    const auto drawn = together(prompts, kLegal, 120);
    for (size_t k = 0; k < batch; ++k) {
      EXPECT_TRUE(follows(drawn[k], prompts[k], kLegal)) << "batch of " << batch;
    }
  }
}

// One more at each step: prompts beside decodes, all seven slots in a batch.
TEST_P(VoiceGolden, RaggedPhases) {
  for (const int most_tokens : {1, 3}) {
    std::vector<int> prompts;
    for (int k = 0; k < 20; ++k) prompts.push_back(k % LmGolden::kPrompts);
    const auto drawn = together(prompts, kLegal, 60, most_tokens, true);
    for (size_t k = 0; k < prompts.size(); ++k) {
      EXPECT_TRUE(follows(drawn[k], prompts[k], kLegal)) << "sequence " << k;
    }
  }
}

TEST_P(VoiceGolden, PromptsInChunks) {
  for (const size_t chunk : {1u, 2u, 7u, 15u, 16u, 17u, 30u}) {
    for (int i = 0; i < LmGolden::kPrompts; ++i) {
      const SequenceId id = open(kRuns[0]);
      const std::vector<TokenId> drawn = generate(*model_, id, prompt(i), 1, chunk);
      EXPECT_TRUE(follows(drawn, i, kRuns[0])) << "chunks of " << chunk;
      expect_logits(model_->last_logits(id),
                    golden_.floats(LmGolden::name("lm", i, "prefill_logits_last")),
                    "chunks of " + std::to_string(chunk));
      model_->close(id);
    }
  }
}

// Keys and values come in pages of 64 tokens: contexts that end before, at and behind a border, by
// the prompt and by decoding over it.
TEST_P(VoiceGolden, PageBorders) {
  for (const size_t length : {63u, 64u, 65u, 127u, 128u, 129u}) {
    for (int i = 0; i < 2; ++i) {
      std::vector<TokenId> ids = prompt(i);
      const std::vector<TokenId> expected = greedy(i, kRuns[0]);
      const size_t first = length - ids.size();
      ASSERT_LT(first + 8, expected.size());
      ids.insert(ids.end(), expected.begin(),
                 expected.begin() + static_cast<std::ptrdiff_t>(first));
      const SequenceId id = open(kRuns[0]);
      const std::vector<TokenId> drawn = generate(*model_, id, ids, 8);
      EXPECT_TRUE(follows(drawn, i, kRuns[0], first)) << length << " tokens";
      model_->close(id);
    }
  }
}

TEST_P(VoiceGolden, SeveralTokensAStepAreTheSameTokens) {
  for (const GreedyRun& run : kRuns) {
    for (int i = 0; i < LmGolden::kPrompts; ++i) {
      const auto one = together({i}, run, 100);
      for (const int most_tokens : {2, 7, SliceResult::kMostTokens}) {
        EXPECT_EQ(together({i}, run, 100, most_tokens), one) << run.name << ", " << most_tokens;
      }
    }
  }
  // Sampled, in company.
  for (const int most_tokens : {1, 7}) {
    EXPECT_EQ(together({0, 1, 2, 0, 1}, kLegal, 70, most_tokens),
              together({0, 1, 2, 0, 1}, kLegal, 70));
  }
}

TEST_P(VoiceGolden, SampledTokensDependOnSeedAndPromptAlone) {
  const auto sampled = [&](uint64_t seed, int most_tokens) {
    SequenceOptions options = greedy_options(golden_.layout(), 1.1f, true, kMostTokens);
    options.sampling.temperature = 0.8f;
    options.sampling.top_p = 0.9f;
    options.sampling.seed = seed;
    auto id = model_->open(options);
    LYRE_CHECK(id.ok());
    std::vector<TokenId> drawn;
    const std::vector<TokenId> ids = prompt(0);
    for (std::span<const TokenId> left = ids; drawn.size() < 70; left = {}) {
      const SliceResult result = step_one(*model_, *id, left, most_tokens);
      drawn.insert(drawn.end(), result.tokens, result.tokens + result.count);
      if (result.stopped || result.count == 0) break;
    }
    model_->close(*id);
    if (drawn.size() > 70) drawn.resize(70);
    return drawn;
  };
  const std::vector<TokenId> first = sampled(1, 1);
  EXPECT_EQ(sampled(1, 1), first);
  EXPECT_EQ(sampled(1, 7), first);
  EXPECT_NE(sampled(2, 1), first);
  const CodeLayout& layout = golden_.layout();
  for (size_t k = 0; k < first.size(); ++k) {
    const int slot = static_cast<int>(k % CodeLayout::kSlots);
    if (first[k] == layout.stop_ids[0]) {
      EXPECT_EQ(slot, 0);
      EXPECT_EQ(k, first.size() - 1);
      continue;
    }
    EXPECT_GE(first[k], layout.slot_first(slot));
    EXPECT_LT(first[k], layout.slot_first(slot + 1));
  }
}

TEST_P(VoiceGolden, TheSameRunTwiceIsTheSameToTheBit) {
  std::vector<std::vector<TokenId>> tokens;
  std::vector<std::vector<float>> logits;
  for (int run = 0; run < 2; ++run) {
    // Pages that others have used in between.
    if (run == 1) together(std::vector<int>(33, 1), kLegal, 100);
    const SequenceId id = open(kRuns[1]);
    tokens.push_back(generate(*model_, id, prompt(0), 80));
    const std::span<const float> last = model_->last_logits(id);
    logits.emplace_back(last.begin(), last.end());
    model_->close(id);
  }
  ASSERT_FALSE(logits[0].empty());
  EXPECT_EQ(tokens[0], tokens[1]);
  EXPECT_EQ(logits[0], logits[1]);
}

// Up to sixteen tokens a step go through the same kernels as one.
TEST_P(VoiceGolden, FewNeighboursChangeNoBit) {
  const auto logits_of_last = [&](size_t batch) {
    std::vector<SequenceId> ids;
    std::vector<Slice> slices;
    for (size_t k = 0; k < batch; ++k) ids.push_back(open(kRuns[1]));
    for (size_t k = 0; k < batch; ++k) {
      const int i = k + 1 == batch ? 0 : 1 + static_cast<int>(k % 2);
      step_one(*model_, ids[k], prompt(i));
      slices.push_back({ids[k], {}, 1});
    }
    std::vector<SliceResult> results(batch);
    for (int step = 0; step < 20; ++step) LYRE_CHECK(model_->step(slices, results).ok());
    const std::span<const float> last = model_->last_logits(ids.back());
    std::vector<float> copy(last.begin(), last.end());
    for (const SequenceId id : ids) model_->close(id);
    return copy;
  };
  const std::vector<float> alone = logits_of_last(1);
  ASSERT_FALSE(alone.empty());
  for (const size_t batch : {2u, 5u, 8u}) EXPECT_EQ(logits_of_last(batch), alone) << batch;
}

TEST_P(VoiceGolden, DrawsNothingBeyondMaxTokens) {
  const std::vector<TokenId> ids = prompt(0);
  const int length = static_cast<int>(ids.size());
  for (const int most_tokens : {1, 7}) {
    for (const int room : {1, 6, 7, 8, 64 - length, 65 - length}) {
      const SequenceId id = open(kLegal, length + room);
      std::vector<TokenId> drawn;
      SliceResult result = step_one(*model_, id, ids, most_tokens);
      while (result.count > 0) {
        drawn.insert(drawn.end(), result.tokens, result.tokens + result.count);
        ASSERT_LE(drawn.size(), static_cast<size_t>(room));
        result = step_one(*model_, id, {}, most_tokens);
      }
      EXPECT_EQ(drawn.size(), static_cast<size_t>(room));
      EXPECT_FALSE(result.stopped);
      EXPECT_TRUE(follows(drawn, 0, kLegal));
      model_->close(id);
    }
  }
}

TEST_P(VoiceGolden, NothingFollowsTheStop) {
  // Whatever is drawn first, made a stop id.
  const std::vector<TokenId> ids = prompt(0);
  const SequenceId before = open(kLegal);
  const TokenId drawn = generate(*model_, before, ids, 1)[0];
  model_->close(before);
  SequenceOptions options = greedy_options(golden_.layout(), kLegal.penalty, true, kMostTokens);
  options.layout.stop_ids.push_back(drawn);
  for (const int most_tokens : {1, 7}) {
    auto id = model_->open(options);
    ASSERT_TRUE(id.ok());
    const SliceResult first = step_one(*model_, *id, ids, most_tokens);
    EXPECT_EQ(first.count, 1);
    EXPECT_EQ(first.tokens[0], drawn);
    EXPECT_TRUE(first.stopped);
    const SliceResult second = step_one(*model_, *id, {}, most_tokens);
    EXPECT_EQ(second.count, 0);
    EXPECT_TRUE(second.stopped);
    model_->close(*id);
  }
}

// The halves of a step, and pages back at once.
TEST_P(VoiceGolden, HalvesOfAStep) {
  const int64_t free_tokens = model_->free_kv_tokens();
  const std::vector<TokenId> ids = prompt(2);
  const SequenceId id = open(kLegal);
  EXPECT_EQ(model_->free_kv_tokens(), free_tokens - model_->kv_tokens_for(kMostTokens));
  std::vector<TokenId> drawn;
  Slice slice = {id, ids, 1};
  for (int step = 0; step < 30; ++step) {
    SliceResult result;
    ASSERT_TRUE(model_->begin_step({&slice, 1}, {&result, 1}).ok());
    EXPECT_GT(model_->info().vocabulary, 0);
    ASSERT_TRUE(model_->end_step().ok());
    ASSERT_EQ(result.count, 1);
    drawn.push_back(result.tokens[0]);
    slice.prompt = {};
  }
  model_->close(id);
  EXPECT_EQ(model_->free_kv_tokens(), free_tokens);
  EXPECT_TRUE(follows(drawn, 2, kLegal));
}

INSTANTIATE_TEST_SUITE_P(Voices, VoiceGolden,
                         testing::Combine(testing::Values("demo", "tiny"),
                                          testing::ValuesIn(kModelFormats)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" + std::get<1>(test.param).name;
                         });

}  // namespace
}  // namespace lyre::test
