// The functions for programs that may wait: speak(), speak_to_wav(), voice_config().
#include "lyre/engine/speak.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <vector>

#include "engine/engine_rig.h"
#include "lyre/audio/wav.h"
#include "lyre/engine/voice_folder.h"
#include "support/expect_error.h"
#include "support/paths.h"
#include "support/temp_folder.h"

namespace lyre {
namespace {

using test::EngineRig;
using test::is_error;
using test::request_of;
using test::TempFolder;

TEST(Speak, HandsOnEverySampleOnce) {
  EngineRig rig;
  Engine& engine = rig.start();
  std::vector<float> heard;
  const auto summary = speak(engine, request_of("Hello.", 7), [&](std::span<const float> samples) {
    EXPECT_FALSE(samples.empty());
    heard.insert(heard.end(), samples.begin(), samples.end());
    return true;
  });
  ASSERT_TRUE(summary.ok()) << summary.error().message;
  EXPECT_EQ(heard, test::spoken("Hello.", 7));
  EXPECT_EQ(summary->samples, static_cast<int64_t>(heard.size()));
  EXPECT_EQ(summary->reason, FinishReason::kStop);
}

TEST(Speak, FalseCancelsAndFreesWhatWasLent) {
  EngineRig rig;
  Engine& engine = rig.start();
  int calls = 0;
  const auto summary = speak(engine, request_of("Hello."), [&](std::span<const float>) {
    ++calls;
    return false;
  });
  ASSERT_FALSE(summary.ok());
  EXPECT_EQ(summary.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
}

TEST(Speak, ACutIsTold) {
  EngineRig rig;
  Engine& engine = rig.start();
  SynthesisRequest request = request_of("abcdef");
  request.max_tokens = 17;
  const auto summary = speak(engine, request, [](std::span<const float>) { return true; });
  ASSERT_TRUE(summary.ok()) << summary.error().message;
  EXPECT_EQ(summary->reason, FinishReason::kLength);
}

TEST(Speak, ErrorsOfTheRequestAndOfTheModelAreReturned) {
  EngineRig rig;
  rig.fakes.codec->on_push = [](int, std::span<const CodecWork>) -> Status {
    return Error{ErrorCode::kInternal, "broken on purpose"};
  };
  Engine& engine = rig.start();
  const auto nothing = [](std::span<const float>) { return true; };
  EXPECT_TRUE(is_error(speak(engine, request_of(""), nothing), ErrorCode::kInvalidArgument, {}));
  EXPECT_TRUE(is_error(speak(engine, request_of("Hello."), nothing), ErrorCode::kInternal,
                       {"broken on purpose"}));
}

TEST(SpeakToWav, WritesTheSamplesThatAreHeard) {
  const TempFolder folder;
  EngineRig rig;
  Engine& engine = rig.start();
  const auto file = folder.path() / "a.wav";
  const auto summary = speak_to_wav(engine, request_of("Hello.", 7), file);
  ASSERT_TRUE(summary.ok()) << summary.error().message;
  const auto audio = read_wav(file);
  ASSERT_TRUE(audio.ok()) << audio.error().message;
  EXPECT_EQ(audio->sample_rate_hz, engine.info().sample_rate_hz);
  const std::vector<float> expected = test::spoken("Hello.", 7);
  ASSERT_EQ(audio->samples.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(audio->samples[i], expected[i], 1.0 / 32'768) << i;
  }
}

TEST(SpeakToWav, WhatFailsBeforeThereIsAudioLeavesAnOlderFileAlone) {
  const TempFolder folder;
  const auto file = folder.write("a.wav", "precious");
  EngineRig rig;
  rig.fakes.language_model->script = [](std::span<const TokenId>, uint64_t) {
    return std::vector<TokenId>{};
  };
  Engine& engine = rig.start();
  EXPECT_TRUE(
      is_error(speak_to_wav(engine, request_of(""), file), ErrorCode::kInvalidArgument, {}));
  EXPECT_TRUE(is_error(speak_to_wav(engine, request_of("Hello."), file), ErrorCode::kInternal,
                       {"without any speech"}));
  std::ifstream stream(file);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(stream), {}), "precious");
}

TEST(SpeakToWav, AnImpossibleFileIsNamedAndEndsTheSpeech) {
  EngineRig rig;
  Engine& engine = rig.start();
  EXPECT_TRUE(is_error(speak_to_wav(engine, request_of("Hello."), "/nowhere/a.wav"),
                       ErrorCode::kNotFound, {"/nowhere/a.wav"}));
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
}

TEST(VoiceConfig, TakesAFolderWithBothModels) {
  const auto config = voice_config(test::demo_voice());
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->model, test::demo_voice() / "lm");
  EXPECT_EQ(config->codec, test::demo_voice() / "codec");
  EXPECT_TRUE(validate(*config).ok());
}

TEST(VoiceConfig, SaysWhatIsMissing) {
  const TempFolder folder;
  EXPECT_TRUE(
      is_error(voice_config(folder.path()), ErrorCode::kNotFound, {folder.path().string()}));
  std::filesystem::create_directory(folder.path() / "lm");
  EXPECT_TRUE(is_error(voice_config(folder.path()), ErrorCode::kNotFound, {"codec/"}));
  EXPECT_TRUE(is_error(voice_config(""), ErrorCode::kNotFound, {"lm/"}));
}

}  // namespace
}  // namespace lyre
