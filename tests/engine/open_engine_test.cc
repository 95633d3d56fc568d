// Engine::open and the measurements: from folders to parts, and the errors on the way.

#include <algorithm>
#include <filesystem>
#include <vector>

#include <gtest/gtest.h>

#include "engine/engine_rig.h"
#include "engine/voice_rig.h"
#include "lyre/engine/benchmark.h"
#include "support/temp_folder.h"

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

// What no backend of this machine can do is told, and nothing else is taken instead.
TEST(OpenEngine, FormatsThatTheBackendDoesNotKnowAreRefused) {
  EngineConfig config = voice_config(tiny_voice());
  config.weights = WeightChoice::kFp8;
  EXPECT_NE(error_of(config).find("weights"), std::string::npos) << error_of(config);
  config = voice_config(tiny_voice());
  config.kv = KvChoice::kFp8;
  EXPECT_NE(error_of(config).find("kv"), std::string::npos) << error_of(config);
}

TEST(OpenEngine, ThePoolOfKeysAndValuesIsAsLargeAsAsked) {
  EngineConfig config = voice_config(tiny_voice());
  config.kv_tokens = 2048;
  const auto engine = test::open_engine(config);
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(engine->stats().total_kv_tokens, 2048);
  EXPECT_EQ(engine->info().device, "");
}

// The text side is opened beside the models: who is the first to fail must not show.
TEST(OpenEngine, OfSeveralErrorsTheFirstIsTold) {
  const test::TempFolder folder;
  EngineConfig config = voice_config(tiny_voice());
  config.voices_file = folder.write("voices.json", "no JSON");
  EXPECT_NE(error_of(config).find("voices.json"), std::string::npos) << error_of(config);
  config.codec = "/nonexistent-codec";
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_EQ(error_of(config), "codec: /nonexistent-codec is not a folder");
  }
  config.model = folder.path();  // neither weights nor a tokenizer
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_NE(error_of(config).find("config.json"), std::string::npos) << error_of(config);
  }
}

TEST(OpenEngine, CachedWeightsSpeakTheSameBits) {
  const test::TempFolder cache;
  const auto speak = [&](const std::filesystem::path& folder) {
    EngineConfig config = voice_config(test::demo_voice());
    config.weights = WeightChoice::kInt8;
    config.cache_folder = folder;
    const auto engine = test::open_engine(config);
    SynthesisRequest request = test::request_of("A voice!", 7);
    request.max_tokens = 70;
    Speech speech = test::submit(*engine, request);
    return test::read_all(speech.pcm);
  };
  const std::vector<float> expected = speak({});
  ASSERT_FALSE(expected.empty());
  EXPECT_TRUE(speak(cache.path()) == expected);  // stores
  const auto is_weights = [](const auto& entry) {
    return entry.path().extension() == ".safetensors";
  };
  EXPECT_EQ(std::count_if(std::filesystem::directory_iterator(cache.path()), {}, is_weights), 1);
  EXPECT_TRUE(speak(cache.path()) == expected);  // reads
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
