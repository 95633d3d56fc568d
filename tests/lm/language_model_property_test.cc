// What the seam promises, of every backend and weight format.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lm/generate.h"
#include "lm/random_model.h"
#include "lyre/lm/open_language_model.h"
#include "support/expect_error.h"

namespace lyre::test {
namespace {

struct Backend {
  const char* name;
  LanguageModelBackend backend;
  WeightFormat weights;
  int threads;
};
constexpr Backend kBackends[] = {
    {"reference", LanguageModelBackend::kReference, WeightFormat::kAsStored, 1},
    {"cpu", LanguageModelBackend::kCpu, WeightFormat::kAsStored, 2},
    {"cpu_one_thread", LanguageModelBackend::kCpu, WeightFormat::kAsStored, 1},
    {"cpu_five_threads", LanguageModelBackend::kCpu, WeightFormat::kAsStored, 5},
    {"cpu_int8", LanguageModelBackend::kCpu, WeightFormat::kInt8, 2}};

class LanguageModelProperty : public testing::TestWithParam<Backend> {
 protected:
  LanguageModelProperty() : threads_(GetParam().threads) {
    write_random_model(folder_, small_config(), DType::kBF16);
    LanguageModelOptions options;
    options.folder = folder_.path();
    options.backend = GetParam().backend;
    options.weights = GetParam().weights;
    options.max_sequences = 10;
    options.max_sequence_tokens = 256;
    options.max_batch_tokens = 256;
    options.kv_tokens = 20 * 64;
    auto model = open_language_model(options, threads_);
    LYRE_CHECK(model.ok());
    model_ = *std::move(model);
  }

  static SequenceOptions options(uint64_t seed, int max_tokens = 120, bool legal_slots = false) {
    SequenceOptions result;
    result.sampling.seed = seed;
    result.sampling.temperature = 0.9f;
    result.sampling.legal_slots = legal_slots;
    result.layout = small_layout();
    result.max_tokens = max_tokens;
    return result;
  }
  static std::vector<TokenId> prompt(int length, int salt = 0) {
    std::vector<TokenId> ids;
    for (int i = 0; i < length; ++i) ids.push_back((i * i * 7 + i * 3 + salt) % 60);
    return ids;
  }
  SequenceId opened(const SequenceOptions& wanted) {
    auto id = model_->open(wanted);
    LYRE_CHECK(id.ok());
    return *id;
  }
  // Logits after every draw of a sequence that is alone: what it must get in any company.
  struct Trace {
    std::vector<TokenId> tokens;
    std::vector<std::vector<float>> logits;
  };
  Trace alone(const SequenceOptions& wanted, std::span<const TokenId> ids, int draws) {
    Trace trace;
    const SequenceId id = opened(wanted);
    for (int i = 0; i < draws; ++i) {
      const SliceResult result = step_one(*model_, id, i == 0 ? ids : std::span<const TokenId>{});
      if (result.count == 0) break;
      trace.tokens.push_back(result.tokens[0]);
      const auto logits = model_->last_logits(id);
      trace.logits.emplace_back(logits.begin(), logits.end());
    }
    model_->close(id);
    return trace;
  }

  TempFolder folder_;
  ThreadPool threads_;
  std::unique_ptr<LanguageModel> model_;
};

TEST_P(LanguageModelProperty, HowThePromptIsCutChangesNoBit) {
  const std::vector<TokenId> ids = prompt(70);
  const Trace expected = alone(options(1), ids, 6);
  for (const size_t chunk : {1u, 7u, 63u, 64u, 65u}) {
    const SequenceId id = opened(options(1));
    EXPECT_EQ(generate(*model_, id, ids, 1, chunk), std::vector(1, expected.tokens[0])) << chunk;
    EXPECT_TRUE(std::ranges::equal(model_->last_logits(id), expected.logits[0])) << chunk;
    for (size_t i = 1; i < expected.tokens.size(); ++i) {
      EXPECT_EQ(step_one(*model_, id, {}).tokens[0], expected.tokens[i]);
      EXPECT_TRUE(std::ranges::equal(model_->last_logits(id), expected.logits[i])) << chunk;
    }
    model_->close(id);
  }
}

// Eight sequences, one step each after the other started, in batches of decodes and prompt chunks.
TEST_P(LanguageModelProperty, NeighboursChangeNoBit) {
  constexpr size_t kSequences = 8, kDraws = 10;
  std::vector<std::vector<TokenId>> prompts;
  std::vector<Trace> expected;
  for (size_t i = 0; i < kSequences; ++i) {
    prompts.push_back(prompt(static_cast<int>(1 + 9 * i), static_cast<int>(i)));
    expected.push_back(alone(options(i, 100, i % 2 == 0), prompts[i], kDraws));
  }
  std::vector<SequenceId> ids(kSequences, -1);
  std::vector<size_t> drawn(kSequences, 0);
  for (size_t step = 0; std::ranges::any_of(drawn, [](size_t n) { return n < kDraws; }); ++step) {
    std::vector<Slice> batch;
    std::vector<size_t> who;
    for (size_t i = 0; i < std::min(step + 1, kSequences); ++i) {
      if (ids[i] < 0) ids[i] = opened(options(i, 100, i % 2 == 0));
      if (drawn[i] >= expected[i].tokens.size()) drawn[i] = kDraws;
      if (drawn[i] == kDraws) continue;
      batch.push_back({ids[i], drawn[i] == 0 ? prompts[i] : std::span<const TokenId>{}, 1});
      who.push_back(i);
    }
    std::ranges::reverse(batch);
    std::ranges::reverse(who);
    std::vector<SliceResult> results(batch.size());
    ASSERT_TRUE(model_->step(batch, results).ok());
    for (size_t b = 0; b < batch.size(); ++b) {
      const size_t i = who[b];
      ASSERT_EQ(results[b].count, 1);
      EXPECT_EQ(results[b].tokens[0], expected[i].tokens[drawn[i]]) << "sequence " << i;
      if (i % 2 == 1) {  // all rows are valid
        EXPECT_TRUE(std::ranges::equal(model_->last_logits(ids[i]), expected[i].logits[drawn[i]]));
      }
      ++drawn[i];
    }
  }
  for (const SequenceId id : ids) model_->close(id);
}

TEST_P(LanguageModelProperty, TheSameAfterReuseOfDirtyPages) {
  const std::vector<TokenId> ids = prompt(65);
  const Trace first = alone(options(3), ids, 5);
  for (int i = 0; i < 3; ++i) alone(options(50, 250), prompt(200, i), 3);
  const Trace again = alone(options(3), ids, 5);
  EXPECT_EQ(first.tokens, again.tokens);
  EXPECT_EQ(first.logits, again.logits);
}

TEST_P(LanguageModelProperty, LegalSlotsAreKeptAndTheRestIsNotDrawn) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const SequenceId id = opened(options(seed, 110, true));
    const std::vector<TokenId> drawn = generate(*model_, id, prompt(5), 100);
    ASSERT_FALSE(drawn.empty());
    for (size_t i = 0; i < drawn.size(); ++i) {
      const int slot = static_cast<int>(i % 7);
      if (drawn[i] == 63) {
        EXPECT_EQ(slot, 0);
        EXPECT_EQ(i, drawn.size() - 1);
        continue;
      }
      EXPECT_GE(drawn[i], small_layout().slot_first(slot));
      EXPECT_LT(drawn[i], small_layout().slot_first(slot + 1));
    }
    model_->close(id);
  }
}

// Rows outside the slot may be anything: the choice is the one that all rows would give.
TEST_P(LanguageModelProperty, LegalRowsHaveTheLogitsOfAllRows) {
  const std::vector<TokenId> ids = prompt(12);
  const Trace all = alone(options(1, 100, false), ids, 1);
  const SequenceId id = opened(options(1, 100, true));
  step_one(*model_, id, ids);
  const auto legal = model_->last_logits(id);
  for (TokenId row = 5; row < 13; ++row) {
    EXPECT_EQ(legal[static_cast<size_t>(row)], all.logits[0][static_cast<size_t>(row)]);
  }
  EXPECT_EQ(legal[63], all.logits[0][63]);
  model_->close(id);
}

TEST_P(LanguageModelProperty, DrawsNothingBeyondMaxTokens) {
  for (const int max_tokens : {1, 2, 63, 64, 65, 66, 129}) {
    for (const int length : {1, 2, max_tokens - 1, max_tokens}) {
      if (length < 1 || length > max_tokens) continue;
      SequenceOptions wanted = options(1, max_tokens);
      wanted.layout.stop_ids = {};
      const SequenceId id = opened(wanted);
      const std::vector<TokenId> ids = prompt(length);
      EXPECT_EQ(generate(*model_, id, ids, 500).size(), static_cast<size_t>(max_tokens - length));
      if (length < max_tokens) {
        EXPECT_EQ(step_one(*model_, id, {}).count, 0);
      }
      model_->close(id);
    }
  }
}

TEST_P(LanguageModelProperty, PoolExhaustionIsAnErrorAndLeaksNothing) {
  const int64_t all = model_->free_kv_tokens();
  EXPECT_EQ(all, 20 * 64);
  std::vector<SequenceId> ids;
  for (;;) {
    auto id = model_->open(options(1, 250));
    if (!id) {
      EXPECT_TRUE(is_error(id, ErrorCode::kResourceExhausted, {"KV pages"}));
      break;
    }
    ids.push_back(*id);
    EXPECT_EQ(model_->free_kv_tokens(),
              all - static_cast<int64_t>(ids.size()) * model_->kv_tokens_for(250));
    step_one(*model_, *id, prompt(3));
  }
  EXPECT_EQ(ids.size(), 5u);
  EXPECT_EQ(model_->free_sequences(), 5);
  for (const SequenceId id : ids) model_->close(id);
  EXPECT_EQ(model_->free_kv_tokens(), all);
  EXPECT_EQ(model_->free_sequences(), 10);
}

// A client may go away at any time: after every number of steps all pages come back at once, and
// the neighbour's tokens stay what they are.
TEST_P(LanguageModelProperty, CancelAtEveryStepFreesEverything) {
  const int64_t all = model_->free_kv_tokens();
  const std::vector<TokenId> victim_prompt = prompt(20, 1), other_prompt = prompt(9, 2);
  const Trace expected = alone(options(8), other_prompt, 14);
  for (size_t cancel = 0; cancel <= 12; ++cancel) {
    const SequenceId victim = opened(options(7)), other = opened(options(8));
    std::vector<TokenId> drawn;
    bool cancelled = false;
    for (size_t step = 0; step < expected.tokens.size(); ++step) {
      if (step == cancel) {
        model_->close(victim);
        cancelled = true;
        EXPECT_EQ(model_->free_kv_tokens(), all - model_->kv_tokens_for(120));
      }
      // The victim's prompt comes in four chunks, then it decodes.
      std::vector<Slice> batch = {
          {other, step == 0 ? other_prompt : std::span<const TokenId>{}, 1}};
      if (!cancelled) {
        const bool in_prompt = step < 4;
        const auto chunk = std::span<const TokenId>(victim_prompt)
                               .subspan(in_prompt ? 5 * step : 0, in_prompt ? 5 : 0);
        batch.push_back({victim, chunk, step < 3 ? 0 : 1});
      }
      std::vector<SliceResult> results(batch.size());
      ASSERT_TRUE(model_->step(batch, results).ok());
      drawn.push_back(results[0].tokens[0]);
    }
    EXPECT_EQ(drawn, expected.tokens);
    model_->close(other);
    if (!cancelled) model_->close(victim);
    EXPECT_EQ(model_->free_kv_tokens(), all);
    EXPECT_EQ(model_->free_sequences(), 10);
  }
}

TEST_P(LanguageModelProperty, ABadBatchIsAnErrorAndChangesNothing) {
  const std::vector<TokenId> ids = prompt(6), outside = {64};
  const Trace expected = alone(options(2), ids, 2);
  const SequenceId id = opened(options(2));
  const Slice bad[] = {{id, ids, 1}, {id, outside, 1}};
  SliceResult results[2];
  EXPECT_TRUE(is_error(model_->step(bad, results), ErrorCode::kInvalidArgument, {"found 64"}));
  EXPECT_EQ(step_one(*model_, id, ids).tokens[0], expected.tokens[0]);
  EXPECT_TRUE(std::ranges::equal(model_->last_logits(id), expected.logits[0]));
  model_->close(id);
}

TEST_P(LanguageModelProperty, AnEmptyBatchIsNothing) { EXPECT_TRUE(model_->step({}, {}).ok()); }

TEST_P(LanguageModelProperty, InfoNamesTheSizes) {
  const LanguageModelInfo& info = model_->info();
  EXPECT_EQ(info.vocabulary, 64);
  EXPECT_EQ(info.layers, 2);
  EXPECT_EQ(info.hidden, 40);
  EXPECT_EQ(info.max_batch_tokens, 256);
  EXPECT_EQ(info.parameters, 64 * 40 + 40 + 2 * (40 * (2 * 40 + 2 * 20) + 3 * 40 * 72 + 2 * 40));
  EXPECT_GT(info.weight_bytes, info.parameters);
  EXPECT_GT(info.kv_bytes_per_token, 0);
  EXPECT_FALSE(info.backend.empty());
  const bool int8 = GetParam().weights == WeightFormat::kInt8;
  EXPECT_EQ(info.weights.find("int8") != std::string::npos, int8) << info.weights;
}

INSTANTIATE_TEST_SUITE_P(Backends, LanguageModelProperty, testing::ValuesIn(kBackends),
                         [](const auto& backend) { return std::string(backend.param.name); });

}  // namespace
}  // namespace lyre::test
