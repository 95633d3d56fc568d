// The int8 weights of the cache are those that are made at load: the same tokens and logits.

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lm/generate.h"
#include "lm/random_model.h"
#include "lyre/base/log.h"
#include "lyre/lm/open_language_model.h"
#include "support/paths.h"
#include "support/temp_folder.h"

namespace lyre::test {
namespace {

namespace fs = std::filesystem;

class Int8Cache : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    configure_logging({.level = LogLevel::kOff});
    write_model(1);
  }
  void TearDown() override { configure_logging({}); }

  void write_model(uint32_t seed) {
    LlamaConfig config;  // sizes that are no multiples of a group
    config.vocabulary = 104;
    config.hidden = 48;
    config.layers = 2;
    config.heads = 4;
    config.kv_heads = 2;
    config.head_dim = 12;
    config.ffn = 136;
    config.max_positions = 256;
    config.tied_embeddings = GetParam();
    write_random_model(model_, config, DType::kBF16, seed);
  }

  std::unique_ptr<LanguageModel> open(const fs::path& cache) {
    LanguageModelOptions options;
    options.folder = model_.path();
    options.weights = WeightFormat::kInt8;
    options.max_sequences = 1;
    options.max_sequence_tokens = 128;
    options.cache_folder = cache;
    auto model = open_language_model(options, threads_);
    EXPECT_TRUE(model.ok()) << model.error().message;
    return *std::move(model);
  }

  // Tokens, and the logits of the last.
  static std::pair<std::vector<TokenId>, std::vector<float>> speak(LanguageModel& model) {
    CodeLayout layout;
    layout.first_code = 20;
    layout.codebook_size = 12;
    const auto id = model.open(greedy_options(layout, 1.1f, true, 100));
    EXPECT_TRUE(id.ok());
    const std::vector<TokenId> prompt = {1, 2, 3, 4, 5};
    const std::vector<TokenId> tokens = generate(model, *id, prompt, 30);
    const std::span<const float> logits = model.last_logits(*id);
    return {tokens, {logits.begin(), logits.end()}};
  }

  static bool has_step(LanguageModel& model, std::string_view name) {
    const std::vector<WarmupStep> steps = model.warmup_steps();
    return std::any_of(steps.begin(), steps.end(),
                       [&](const WarmupStep& step) { return step.name == name; });
  }
  std::vector<fs::path> kept() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(cache_.path())) {
      if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
    }
    return files;
  }

  TempFolder model_, cache_;
  ThreadPool threads_{2};
};

TEST_P(Int8Cache, SpeaksTheSameWithAndWithout) {
  const auto made = open({});
  const auto expected = speak(*made);
  const LanguageModelInfo info = made->info();
  EXPECT_FALSE(has_step(*made, "lm.weights"));  // they were written, so they are there
  EXPECT_TRUE(has_step(*made, "lm.kv_pages"));

  EXPECT_EQ(speak(*open(cache_.path())), expected);  // the first start stores
  ASSERT_EQ(kept().size(), 1u);
  for (int start = 0; start < 2; ++start) {
    const auto cached = open(cache_.path());
    EXPECT_TRUE(has_step(*cached, "lm.weights"));  // mapped: so these are from the cache
    EXPECT_EQ(speak(*cached), expected);
    EXPECT_EQ(cached->info().weights, info.weights);
    EXPECT_EQ(cached->info().parameters, info.parameters);
  }
  EXPECT_EQ(kept().size(), 1u);
}

TEST_P(Int8Cache, DamageIsMendedAtTheNextStart) {
  const auto expected = speak(*open(cache_.path()));
  ASSERT_EQ(kept().size(), 1u);
  const fs::path file = kept().front();
  fs::resize_file(file, fs::file_size(file) - 1);
  const auto made = open(cache_.path());
  EXPECT_FALSE(has_step(*made, "lm.weights"));
  EXPECT_EQ(speak(*made), expected);
}

TEST_P(Int8Cache, OtherWeightsAreNotMixedUp) {
  const auto before = speak(*open(cache_.path()));
  write_model(1);  // the same again, and then others of the same size
  EXPECT_EQ(speak(*open(cache_.path())), before);
  EXPECT_EQ(kept().size(), 1u);
  write_model(2);
  const auto after = speak(*open(cache_.path()));
  EXPECT_NE(after.second, before.second);
  EXPECT_EQ(speak(*open({})), after);
  EXPECT_EQ(kept().size(), 2u);
}

TEST_P(Int8Cache, AFolderThatCannotBeWrittenCostsAWarningOnly) {
  EXPECT_EQ(speak(*open("/proc/self/lyre")), speak(*open({})));
}

INSTANTIATE_TEST_SUITE_P(Embeddings, Int8Cache, testing::Bool(),
                         [](const auto& test) { return test.param ? "tied" : "untied"; });

}  // namespace
}  // namespace lyre::test
