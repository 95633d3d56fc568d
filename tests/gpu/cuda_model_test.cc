// What the CUDA language model refuses, and batches as large as they come.

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gpu/model_under_test.h"
#include "lm/generate.h"
#include "lm/random_model.h"
#include "support/compare.h"
#include "support/expect_error.h"

namespace lyre::test {
namespace {

class CudaModel : public GpuTest {
 protected:
  void SetUp() override {
    LYRE_NEED_GPU();
    LlamaConfig config;
    config.vocabulary = 301;
    config.hidden = 160;
    config.layers = 2;
    config.heads = 6;
    config.kv_heads = 2;
    config.head_dim = 64;
    config.ffn = 264;
    config.max_positions = 512;
    write_random_model(folder_, config, DType::kBF16);
    options_.folder = folder_.path();
    options_.backend = LanguageModelBackend::kCuda;
    options_.max_sequences = 4;
    options_.max_sequence_tokens = 256;
  }

  std::vector<TokenId> ids(int count, int salt) const {
    std::vector<TokenId> ids;
    for (int i = 0; i < count; ++i) ids.push_back((i * 31 + i * i + salt * 7) % 301);
    return ids;
  }

  TempFolder folder_;
  ThreadPool threads_{2};
  LanguageModelOptions options_;
};

TEST_F(CudaModel, SaysWhatItNeedsAndWhatIsFree) {
  options_.kv_tokens = int64_t{1} << 33;  // 2 layers x 1 KiB a token: 16 TiB
  EXPECT_TRUE(is_error(open_language_model(options_, threads_), ErrorCode::kResourceExhausted,
                       {"KV pool", "needs", "MiB", "free"}));
  // The device is as it was.
  options_.kv_tokens = 0;
  EXPECT_TRUE(open_language_model(options_, threads_).ok());
}

TEST_F(CudaModel, RefusesWhatItDoesNotCompute) {
  LanguageModelOptions int8 = options_;
  int8.weights = WeightFormat::kInt8;
  EXPECT_TRUE(is_error(open_language_model(int8, threads_), ErrorCode::kInvalidArgument,
                       {"weights", "fp8", "int8"}));
  LanguageModelOptions f16 = options_;
  f16.kv = KvFormat::kF16;
  EXPECT_TRUE(
      is_error(open_language_model(f16, threads_), ErrorCode::kInvalidArgument, {"kv", "bf16"}));
  LanguageModelOptions many = options_;
  many.max_sequences = 1025;
  many.max_batch_tokens = 2000;
  EXPECT_TRUE(is_error(open_language_model(many, threads_), ErrorCode::kInvalidArgument,
                       {"max_sequences", "1024", "1025"}));
  LanguageModelOptions elsewhere = options_;
  elsewhere.device = 99;
  EXPECT_TRUE(
      is_error(open_language_model(elsewhere, threads_), ErrorCode::kNotFound, {"device", "99"}));
}

TEST_F(CudaModel, RunsOutOfPagesAndGoesOn) {
  options_.kv_tokens = 256;
  auto model = open_language_model(options_, threads_);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const auto first = (*model)->open(greedy_options({}, 1, false, 200));
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(is_error((*model)->open(greedy_options({}, 1, false, 100)),
                       ErrorCode::kResourceExhausted, {"KV pages"}));
  EXPECT_EQ(step_one(**model, *first, ids(20, 0)).count, 1);
  (*model)->close(*first);
  EXPECT_EQ((*model)->free_kv_tokens(), 256);
  EXPECT_TRUE((*model)->open(greedy_options({}, 1, false, 100)).ok());
}

// 256 sequences of all lengths around the borders of pages, with chunks of prompts among decodes.
TEST_F(CudaModel, TwoHundredAndFiftySix) {
  constexpr int kSequences = 256, kSteps = 3;
  options_.max_sequences = kSequences;
  options_.max_batch_tokens = kSequences + 320;
  auto model = open_language_model(options_, threads_);
  ASSERT_TRUE(model.ok()) << model.error().message;
  LanguageModelOptions plain = options_;
  plain.backend = LanguageModelBackend::kReference;
  plain.max_sequences = 1;
  auto reference = open_language_model(plain, threads_);
  ASSERT_TRUE(reference.ok());

  std::vector<SequenceId> open;
  std::vector<std::vector<TokenId>> contexts;
  for (int i = 0; i < kSequences; ++i) {
    auto id = (*model)->open(greedy_options({}, 1, false, 200));
    ASSERT_TRUE(id.ok());
    open.push_back(*id);
    contexts.push_back(ids(1 + i % 131, i));
  }
  // As many whole prompts a step as have room, beside the decodes of those that are through.
  std::vector<Slice> slices;
  std::vector<SliceResult> results;
  size_t through = 0;
  while (through < contexts.size()) {
    slices.clear();
    for (size_t i = 0; i < through; ++i) slices.push_back({open[i], {}, 1});
    size_t room = 320, last = through;
    while (last < contexts.size() && contexts[last].size() <= room) {
      room -= contexts[last].size();
      slices.push_back({open[last], contexts[last], 1});
      ++last;
    }
    results.assign(slices.size(), SliceResult{});
    const Status stepped = (*model)->step(slices, results);
    ASSERT_TRUE(stepped.ok()) << stepped.error().message;
    for (size_t i = 0; i < slices.size(); ++i) {
      if (results[i].count == 1) contexts[i].push_back(results[i].tokens[0]);
    }
    through = last;
  }
  slices.clear();
  for (const SequenceId id : open) slices.push_back({id, {}, 1});
  results.assign(slices.size(), SliceResult{});
  for (int step = 0; step < kSteps; ++step) {
    ASSERT_TRUE((*model)->step(slices, results).ok());
    if (step + 1 == kSteps) break;
    for (size_t i = 0; i < slices.size(); ++i) {
      ASSERT_EQ(results[i].count, 1) << i;
      contexts[i].push_back(results[i].tokens[0]);
    }
  }
  for (size_t i = 0; i < slices.size(); i += 15) {
    auto id = (*reference)->open(greedy_options({}, 1, false, 200));
    ASSERT_TRUE(id.ok());
    step_one(**reference, *id, contexts[i]);
    const auto wanted = (*reference)->last_logits(*id);
    const auto actual = (*model)->last_logits(open[i]);
    EXPECT_TRUE(all_close(actual, wanted, kBf16.tolerance)) << "sequence " << i;
    EXPECT_GE(difference(actual, wanted).snr_db, kBf16.snr_db) << "sequence " << i;
    (*reference)->close(*id);
  }
}

}  // namespace
}  // namespace lyre::test
