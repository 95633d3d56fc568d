#include "lyre/lm/open_language_model.h"

#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "lm/random_model.h"
#include "support/expect_error.h"
#include "support/paths.h"

namespace lyre::test {
namespace {

constexpr LanguageModelBackend kBuilt[] = {LanguageModelBackend::kReference,
                                           LanguageModelBackend::kCpu};

class OpenLanguageModel : public testing::Test {
 protected:
  OpenLanguageModel() { write_random_model(folder_, small_config(), DType::kF32); }

  Result<std::unique_ptr<LanguageModel>> open(LanguageModelOptions options = {}) {
    if (options.folder.empty()) options.folder = folder_.path();
    return open_language_model(options, threads_);
  }
  // Opens the model by both backends after the weights file has been changed.
  testing::AssertionResult refused(std::initializer_list<std::string_view> words) {
    for (const LanguageModelBackend backend : kBuilt) {
      auto verdict =
          is_error(open({.folder = {}, .backend = backend}), ErrorCode::kDataCorrupt, words);
      if (!verdict) return verdict;
    }
    return testing::AssertionSuccess();
  }
  std::string weights() const {
    std::ifstream stream(folder_.path() / "model.safetensors", std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  // Replaces text of equal length in the header.
  void change_header(std::string_view from, std::string_view to) {
    std::string bytes = weights();
    const size_t at = bytes.find(from);
    ASSERT_NE(at, std::string::npos);
    ASSERT_EQ(from.size(), to.size());
    bytes.replace(at, from.size(), to);
    folder_.write("model.safetensors", bytes);
  }

  TempFolder folder_;
  ThreadPool threads_{2};
};

TEST_F(OpenLanguageModel, MissingFolderNamesTheFile) {
  for (const LanguageModelBackend backend : kBuilt) {
    EXPECT_TRUE(is_error(open({.folder = "/nonexistent/lm", .backend = backend}),
                         ErrorCode::kNotFound, {"/nonexistent/lm/config.json"}));
  }
}

TEST_F(OpenLanguageModel, MissingWeights) {
  std::filesystem::remove(folder_.path() / "model.safetensors");
  const auto model = open();
  EXPECT_TRUE(is_error(model, ErrorCode::kNotFound, {folder_.path().string()}));
}

TEST_F(OpenLanguageModel, MissingTensor) {
  change_header("layers.1.mlp.up_proj", "layers.7.mlp.up_proj");
  EXPECT_TRUE(refused(
      {"model.safetensors", "model.layers.1.mlp.up_proj.weight", "(72, 40)", "no such tensor"}));
}

TEST_F(OpenLanguageModel, WrongShape) {
  // The same bytes, the other way round.
  change_header("[72, 40]", "[40, 72]");
  EXPECT_TRUE(refused({"gate_proj.weight", "(72, 40)", "(40, 72)"}));
}

TEST_F(OpenLanguageModel, WrongDType) {
  change_header("\"F32\", \"shape\": [72", "\"I32\", \"shape\": [72");
  EXPECT_TRUE(refused({"gate_proj.weight", "bf16", "i32"}));
}

TEST_F(OpenLanguageModel, TruncatedWeights) {
  const std::string bytes = weights();
  folder_.write("model.safetensors", bytes.substr(0, bytes.size() - 4));
  EXPECT_TRUE(refused({"model.safetensors"}));
}

TEST_F(OpenLanguageModel, LimitsAreChecked) {
  const auto wrong = [&](auto change, std::initializer_list<std::string_view> words) {
    LanguageModelOptions options;
    change(options);
    return is_error(open(options), ErrorCode::kInvalidArgument, words);
  };
  EXPECT_TRUE(wrong([](auto& o) { o.max_sequences = 0; }, {"max_sequences", "found 0"}));
  EXPECT_TRUE(wrong([](auto& o) { o.max_sequence_tokens = 1; }, {"max_sequence_tokens"}));
  EXPECT_TRUE(wrong([](auto& o) { o.max_batch_tokens = 3; }, {"max_batch_tokens", "16"}));
  EXPECT_TRUE(wrong([](auto& o) { o.kv_tokens = 63; }, {"kv_tokens", "64"}));
}

TEST_F(OpenLanguageModel, ContextIsAtMostThatOfTheModel) {
  LlamaConfig config = small_config();
  config.max_positions = 100;
  write_random_model(folder_, config, DType::kF16);
  for (const LanguageModelBackend backend : kBuilt) {
    auto model = open({.folder = {}, .backend = backend, .max_sequences = 3});
    ASSERT_TRUE(model.ok());
    EXPECT_EQ((*model)->free_kv_tokens(), 3 * 128);
    SequenceOptions options;
    options.layout = small_layout();
    options.max_tokens = 101;
    EXPECT_TRUE(is_error((*model)->open(options), ErrorCode::kInvalidArgument, {"[1, 100]"}));
  }
}

TEST_F(OpenLanguageModel, BackendsThatCannot) {
  EXPECT_TRUE(is_error(open({.folder = {},
                             .backend = LanguageModelBackend::kReference,
                             .weights = WeightFormat::kInt8}),
                       ErrorCode::kInvalidArgument, {"reference"}));
}

TEST_F(OpenLanguageModel, ShardedFoldersAndMixedTypesAreRead) {
  auto demo = open({.folder = demo_voice() / "lm"});
  ASSERT_TRUE(demo.ok());
  EXPECT_EQ((*demo)->info().parameters, 9'839'872);
  EXPECT_EQ((*demo)->info().weights, "bf16");
  EXPECT_EQ((*demo)->info().weight_bytes, 2 * 9'839'872);
  auto tiny = open({.folder = tiny_voice() / "lm"});
  ASSERT_TRUE(tiny.ok());
  EXPECT_EQ((*tiny)->info().weights, "f16");
}

}  // namespace
}  // namespace lyre::test
