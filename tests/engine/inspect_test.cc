#include "lyre/engine/inspect.h"

#include <gtest/gtest.h>

#include "support/paths.h"

namespace lyre {
namespace {

using test::demo_voice;
using test::tiny_voice;

TEST(Inspect, AVoiceFolderHoldsBothModels) {
  const auto report = inspect_model(tiny_voice());
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_TRUE(report->language_model);
  const LanguageModelReport& lm = *report->language_model;
  EXPECT_EQ(lm.architecture, "LlamaForCausalLM");
  EXPECT_EQ(lm.layers, 2);
  EXPECT_EQ(lm.heads, 6);
  EXPECT_EQ(lm.kv_heads, 2);
  EXPECT_EQ(lm.head_dim, 24);
  EXPECT_FALSE(lm.tied_embeddings);
  EXPECT_EQ(lm.dtype, "f16");
  EXPECT_GT(lm.parameters, 0);
  EXPECT_GT(lm.kv_bytes_per_token, 0);
  EXPECT_EQ(lm.kv_bytes % lm.kv_bytes_per_token, 0);
  EXPECT_EQ(lm.family, "orpheus");
  ASSERT_EQ(lm.voices.size(), 2u);
  EXPECT_EQ(lm.voices[0].name, "kit");
  EXPECT_EQ(lm.default_voice, "kit");
  const auto ids = lm.special_ids;
  EXPECT_NE(std::find(ids.begin(), ids.end(),
                      std::pair<std::string, int>("first code <custom_token_10>", 335)),
            ids.end());

  ASSERT_TRUE(report->codec);
  const CodecReport& codec = *report->codec;
  EXPECT_EQ(codec.sample_rate_hz, 24000);
  EXPECT_EQ(codec.codebooks, 3);
  EXPECT_EQ(codec.codebook_size, 64);
  EXPECT_EQ(codec.vq_strides, (std::vector<int>{4, 2, 1}));
  EXPECT_EQ(codec.decoder_rates, (std::vector<int>{5, 4, 3, 2}));
  EXPECT_EQ(codec.samples_per_frame, 480);
  EXPECT_EQ(codec.dtype, "f32");
  EXPECT_GT(codec.stream_state_bytes, 0);
  EXPECT_TRUE(codec.has_encoder);
}

TEST(Inspect, TheDemoVoice) {
  const auto report = inspect_model(demo_voice());
  ASSERT_TRUE(report) << report.error().message;
  const LanguageModelReport& lm = *report->language_model;
  EXPECT_EQ(lm.layers, 10);
  EXPECT_EQ(lm.hidden, 256);
  EXPECT_EQ(lm.vocabulary, 7696);
  EXPECT_TRUE(lm.tied_embeddings);
  EXPECT_EQ(lm.dtype, "bf16");
  EXPECT_NEAR(static_cast<double>(lm.parameters), 9.8e6, 0.1e6);
  EXPECT_EQ(lm.weight_bytes, 2 * lm.parameters);
  const CodecReport& codec = *report->codec;
  EXPECT_EQ(codec.samples_per_frame, 2048);
  EXPECT_EQ(codec.final_delay_samples, 4757);
  EXPECT_EQ(codec.dtype, "f16");
}

TEST(Inspect, EitherModelAlone) {
  const auto lm = inspect_model(tiny_voice() / "lm");
  ASSERT_TRUE(lm) << lm.error().message;
  EXPECT_TRUE(lm->language_model);
  EXPECT_FALSE(lm->codec);
  const auto codec = inspect_model(tiny_voice() / "codec");
  ASSERT_TRUE(codec) << codec.error().message;
  EXPECT_FALSE(codec->language_model);
  EXPECT_TRUE(codec->codec);
}

TEST(Inspect, SaysWhatIsMissing) {
  const auto nothing = inspect_model("/nonexistent-folder");
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(nothing.error().message, "/nonexistent-folder: expected a folder");
  const auto other = inspect_model(test::source_dir() / "tests");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kNotFound);
  EXPECT_NE(other.error().message.find("config.json"), std::string::npos);
}

}  // namespace
}  // namespace lyre
