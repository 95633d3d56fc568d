// Engine::open and the measurements: from folders to parts, and the errors on the way.

#include <gtest/gtest.h>

#include "engine/voice_rig.h"
#include "lyre/engine/benchmark.h"

namespace lyre {
namespace {

using test::tiny_voice;
using test::voice_config;

std::string error_of(const EngineConfig& config) {
  const auto engine = Engine::open(config);
  return engine ? "opened" : engine.error().message;
}

TEST(OpenEngine, DescribesTheVoice) {
  const auto engine = test::open_engine(voice_config(tiny_voice()));
  ASSERT_NE(engine, nullptr);
  const EngineInfo& info = engine->info();
  EXPECT_EQ(info.model_name, "tiny_voice");
  EXPECT_EQ(info.family, "orpheus");
  ASSERT_EQ(info.voices.size(), 2u);
  EXPECT_EQ(info.voices[1].name, "lou");
  EXPECT_EQ(info.default_voice, "kit");
  EXPECT_EQ(info.samples_per_frame, 480);
  EXPECT_GT(info.weight_bytes, 0);
  EXPECT_GT(info.kv_bytes, 0);
  EXPECT_EQ(engine->stats().free_sequences, 8) << "the warm-up gave everything back";
  EXPECT_EQ(engine->stats().free_kv_tokens, engine->stats().total_kv_tokens);
}

TEST(OpenEngine, ErrorsSayWhatIsMissing) {
  EngineConfig config = voice_config(tiny_voice());
  config.model = "";
  EXPECT_EQ(error_of(config), "model: expected a folder, found nothing");
  config.model = "/nonexistent-folder";
  EXPECT_EQ(error_of(config), "model: /nonexistent-folder is not a folder");
  config.model = test::source_dir() / "tests";
  EXPECT_NE(error_of(config).find("config.json"), std::string::npos) << error_of(config);
  config = voice_config(tiny_voice());
  config.codec = tiny_voice() / "lm";
  EXPECT_NE(error_of(config), "opened");
  config = voice_config(tiny_voice());
  config.max_batch = 0;
  EXPECT_EQ(error_of(config), "max_batch: expected at least 1, found 0");
}

TEST(OpenEngine, ModelsThatDoNotBelongTogetherAreRefused) {
  EngineConfig config = voice_config(tiny_voice());
  config.codec = test::demo_voice() / "codec";
  EXPECT_NE(error_of(config), "opened");
}

TEST(Benchmark, MeasuresBothModels) {
  const EngineConfig config = voice_config(tiny_voice());
  const auto lm =
      measure_language_model(config, {.batch = 2, .prompt_tokens = 8, .decode_tokens = 5});
  ASSERT_TRUE(lm) << lm.error().message;
  EXPECT_GT(lm->decode_tokens_per_s, 0);
  EXPECT_GT(lm->prefill_tokens_per_s, 0);
  EXPECT_GT(lm->bytes_per_step, 0);
  const auto codec = measure_codec(config, {.streams = 2, .frames = 3});
  ASSERT_TRUE(codec) << codec.error().message;
  EXPECT_GT(codec->frames_per_s, 0);
  EXPECT_FALSE(measure_language_model(config, {.batch = 0}));
  EXPECT_FALSE(measure_codec(config, {.streams = 1, .frames = 0}));
}

TEST(Benchmark, MeasuresTheMemory) {
  const auto memory = measure_memory_gb_per_s(2, int64_t{8} << 20);
  ASSERT_TRUE(memory);
  EXPECT_GT(*memory, 0);
  EXPECT_FALSE(measure_memory_gb_per_s(2, 8));
}

}  // namespace
}  // namespace lyre
