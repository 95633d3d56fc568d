// Language models of odd sizes with random weights: the CUDA backend against the reference over the
// same files, for prompts and decodes, alone and in a batch for which the large products are used.

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "gpu/model_under_test.h"
#include "lm/generate.h"
#include "lm/random_model.h"
#include "support/compare.h"

namespace lyre::test {
namespace {

struct ModelShape {
  const char* name;
  int vocabulary, hidden, layers, heads, kv_heads, head_dim, ffn;
  bool tied;
  DType stored;
};
constexpr ModelShape kShapes[] = {
    {"one_kv_head", 77, 96, 2, 2, 1, 32, 200, true, DType::kBF16},
    {"three_heads_a_kv_head", 1001, 160, 2, 6, 2, 64, 200, false, DType::kBF16},
    {"a_kv_head_each", 131, 256, 1, 8, 8, 32, 264, true, DType::kBF16},
    {"wide_heads", 515, 256, 2, 2, 1, 128, 200, false, DType::kBF16},
    {"true_heads", 9, 96, 2, 6, 2, 128, 8, true, DType::kBF16},
    {"f16", 77, 160, 2, 2, 1, 64, 200, true, DType::kF16},
    {"f32", 301, 96, 3, 8, 8, 32, 40, false, DType::kF32},
};

class ModelShapes : public testing::TestWithParam<std::tuple<ModelShape, ModelFormat>> {
 protected:
  static constexpr int kMostSequences = 20;

  void SetUp() override {
    LYRE_NEED_MODEL_BACKEND();
    if (!serves(format_)) GTEST_SKIP() << "another backend's format";
    LlamaConfig config;
    config.vocabulary = shape_.vocabulary;
    config.hidden = shape_.hidden;
    config.layers = shape_.layers;
    config.heads = shape_.heads;
    config.kv_heads = shape_.kv_heads;
    config.head_dim = shape_.head_dim;
    config.ffn = shape_.ffn;
    config.max_positions = 512;
    config.tied_embeddings = shape_.tied;
    write_random_model(folder_, config, shape_.stored);
    LanguageModelOptions options;
    options.folder = folder_.path();
    options.max_sequence_tokens = 160;
    options.max_sequences = 1;
    options.backend = LanguageModelBackend::kReference;
    auto reference = open_language_model(options, threads_);
    ASSERT_TRUE(reference.ok()) << reference.error().message;
    reference_ = *std::move(reference);
    options.max_sequences = kMostSequences;
    auto model = open_under_test(options, format_, threads_);
    ASSERT_TRUE(model.ok()) << model.error().message;
    model_ = *std::move(model);
  }

  std::vector<TokenId> ids(int count, int salt = 0) const {
    std::vector<TokenId> ids;
    for (int i = 0; i < count; ++i) ids.push_back((i * 31 + i * i + salt) % shape_.vocabulary);
    return ids;
  }

  // After these ids, all of them a prompt.
  std::vector<float> expected(const std::vector<TokenId>& context) {
    auto id = reference_->open(greedy_options({}, 1, false, 160));
    LYRE_CHECK(id.ok());
    step_one(*reference_, *id, context);
    const std::span<const float> logits = reference_->last_logits(*id);
    std::vector<float> copy(logits.begin(), logits.end());
    reference_->close(*id);
    return copy;
  }

  SequenceId open() {
    auto id = model_->open(greedy_options({}, 1, false, 160));
    LYRE_CHECK(id.ok());
    return *id;
  }

  void expect_logits(SequenceId id, const std::vector<TokenId>& context, const std::string& what) {
    const std::vector<float> wanted = expected(context);
    ASSERT_TRUE(all_close(model_->last_logits(id), wanted, format_.tolerance)) << what;
    EXPECT_GE(difference(model_->last_logits(id), wanted).snr_db, format_.snr_db) << what;
  }

  ModelShape shape_ = std::get<0>(GetParam());
  ModelFormat format_ = std::get<1>(GetParam());
  TempFolder folder_;
  ThreadPool threads_{2};
  std::unique_ptr<LanguageModel> reference_, model_;
};

TEST_P(ModelShapes, Prompts) {
  for (const int length : {1, 9, 16, 17, 63, 64, 65, 130}) {
    const SequenceId id = open();
    const std::vector<TokenId> context = ids(length);
    step_one(*model_, id, context);
    expect_logits(id, context, std::to_string(length) + " tokens");
    model_->close(id);
  }
}

TEST_P(ModelShapes, Decodes) {
  for (const int length : {1, 61}) {
    const SequenceId id = open();
    std::vector<TokenId> context = ids(length);
    TokenId drawn = step_one(*model_, id, context).tokens[0];
    for (int step = 0; step < 6; ++step) {
      context.push_back(drawn);
      drawn = step_one(*model_, id, {}).tokens[0];
      expect_logits(id, context, std::to_string(length) + " tokens, step " + std::to_string(step));
    }
    model_->close(id);
  }
}

TEST_P(ModelShapes, ManySequences) {
  std::vector<SequenceId> open_ids;
  std::vector<std::vector<TokenId>> contexts;
  std::vector<Slice> slices;
  for (int k = 0; k < kMostSequences; ++k) {
    open_ids.push_back(open());
    contexts.push_back(ids(1 + k % 12, k));
  }
  for (size_t k = 0; k < open_ids.size(); ++k) slices.push_back({open_ids[k], contexts[k], 1});
  std::vector<SliceResult> results(slices.size());
  for (int step = 0; step < 3; ++step) {
    ASSERT_TRUE(model_->step(slices, results).ok());
    for (size_t k = 0; k < slices.size(); ++k) {
      expect_logits(open_ids[k], contexts[k], "step " + std::to_string(step));
      ASSERT_EQ(results[k].count, 1);
      contexts[k].push_back(results[k].tokens[0]);
      slices[k].prompt = {};
    }
  }
  for (const SequenceId id : open_ids) model_->close(id);
}

INSTANTIATE_TEST_SUITE_P(All, ModelShapes,
                         testing::Combine(testing::ValuesIn(kShapes),
                                          testing::ValuesIn(kModelFormats)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param).name) + "_" +
                                  std::get<1>(test.param).name;
                         });

}  // namespace
}  // namespace lyre::test
