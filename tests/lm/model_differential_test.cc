#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "lm/generate.h"
#include "lm/random_model.h"
#include "lm/simd_levels.h"
#include "lyre/lm/open_language_model.h"
#include "support/compare.h"

namespace lyre::test {
namespace {

struct ModelShape {
  const char* name;
  int vocabulary, hidden, layers, heads, kv_heads, head_dim, ffn;
  bool tied;
};
constexpr ModelShape kShapes[] = {
    {"least", 3, 1, 1, 1, 1, 2, 1, true},
    {"odd", 67, 33, 3, 3, 1, 6, 65, false},
    {"below_vectors", 31, 14, 2, 2, 2, 4, 9, true},
    {"above_vectors", 129, 65, 2, 6, 2, 24, 130, true},
    {"wide_head", 70, 64, 1, 1, 1, 144, 32, false},
};

struct Format {
  const char* name;
  DType stored;
  WeightFormat weights;
  KvFormat kv;
  double tolerance;
};
// Of logits against the fp32 reference over the same stored numbers, relative to their root mean
// square. With fp32 keys and values only the order of sums differs. The models are random: nothing
// averages the rounding of int8 out as trained weights do.
constexpr Format kFormats[] = {
    {"bf16", DType::kBF16, WeightFormat::kAsStored, KvFormat::kF32, 2e-5},
    {"f16", DType::kF16, WeightFormat::kAsStored, KvFormat::kF32, 2e-5},
    {"f32", DType::kF32, WeightFormat::kAsStored, KvFormat::kF32, 2e-5},
    {"bf16_kv16", DType::kBF16, WeightFormat::kAsStored, KvFormat::kF16, 3e-3},
    {"int8", DType::kBF16, WeightFormat::kInt8, KvFormat::kF32, 6e-2},
};

class ModelDifferential
    : public testing::TestWithParam<std::tuple<ModelShape, Format, cpu::SimdLevel>> {};

TEST_P(ModelDifferential, LogitsOfPromptAndDecode) {
  const auto& [shape, format, level] = GetParam();
  const SimdScope scope(level);
  LlamaConfig config;
  config.vocabulary = shape.vocabulary;
  config.hidden = shape.hidden;
  config.layers = shape.layers;
  config.heads = shape.heads;
  config.kv_heads = shape.kv_heads;
  config.head_dim = shape.head_dim;
  config.ffn = shape.ffn;
  config.max_positions = 512;
  config.tied_embeddings = shape.tied;
  const TempFolder folder;
  write_random_model(folder, config, format.stored);

  ThreadPool threads(2);
  LanguageModelOptions options;
  options.folder = folder.path();
  options.max_sequences = 1;
  options.max_sequence_tokens = 160;
  options.backend = LanguageModelBackend::kReference;
  auto reference = open_language_model(options, threads);
  ASSERT_TRUE(reference.ok()) << reference.error().message;
  options.backend = LanguageModelBackend::kCpu;
  options.weights = format.weights;
  options.kv = format.kv;
  auto fast = open_language_model(options, threads);
  ASSERT_TRUE(fast.ok()) << fast.error().message;

  std::vector<TokenId> ids;
  for (int i = 0; i < 70; ++i) ids.push_back((i * 31 + i * i) % config.vocabulary);
  for (const size_t length :
       {size_t{1}, size_t{9}, size_t{63}, size_t{64}, size_t{65}, ids.size()}) {
    const SequenceOptions greedy = greedy_options({}, 1, false, 100);
    const auto a = (*reference)->open(greedy), b = (*fast)->open(greedy);
    ASSERT_TRUE(a.ok() && b.ok());
    step_one(**reference, *a, std::span(ids).first(length));
    step_one(**fast, *b, std::span(ids).first(length));
    EXPECT_TRUE(
        all_close((*fast)->last_logits(*b), (*reference)->last_logits(*a), format.tolerance))
        << length << " tokens";
    (*reference)->close(*a);
    (*fast)->close(*b);
  }
}

std::string test_name(const testing::TestParamInfo<ModelDifferential::ParamType>& info) {
  const auto& [shape, format, level] = info.param;
  return std::string(shape.name) + "_" + format.name + "_" + simd_level_name(level);
}

INSTANTIATE_TEST_SUITE_P(All, ModelDifferential,
                         testing::Combine(testing::ValuesIn(kShapes), testing::ValuesIn(kFormats),
                                          testing::ValuesIn(kSimdLevels)),
                         test_name);

}  // namespace
}  // namespace lyre::test
