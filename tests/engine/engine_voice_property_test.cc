// The engine over real models: the tiny random voice, and the demo voice where words matter.

#include <cmath>

#include <gtest/gtest.h>

#include "engine/engine_rig.h"
#include "engine/voice_rig.h"
#include "lyre/codec/open_codec.h"
#include "lyre/engine/open_models.h"
#include "lyre/engine/open_prompts.h"
#include "support/compare.h"

namespace lyre {
namespace {

using test::demo_voice;
using test::open_engine;
using test::read_all;
using test::request_of;
using test::submit;
using test::tiny_voice;
using test::voice_config;

const std::string kTexts[] = {
    "The quick brown fox jumps over the lazy dog.",
    "A voice!",
    "Seven hundred and twelve.",
    "She sells sea shells by the sea shore, and the shells she sells are sea shells.",
    "Is it so?",
    "No.",
    "Rain in the morning, sun in the afternoon.",
    "Good night."};

std::vector<float> speak(Engine& engine, SynthesisRequest request) {
  Speech speech = submit(engine, request);
  std::vector<float> samples = read_all(speech.pcm);
  EXPECT_EQ(speech.pcm.state(), PcmSource::State::kFinished);
  return samples;
}

void expect_same_alone_and_in_company(const std::filesystem::path& voice, int max_tokens) {
  const auto engine = open_engine(voice_config(voice));
  ASSERT_NE(engine, nullptr);
  const auto request = [&](size_t i) {
    SynthesisRequest made = request_of(kTexts[i], 100 + i);
    made.max_tokens = max_tokens;
    return made;
  };
  std::vector<std::vector<float>> alone;
  for (size_t i = 0; i < 8; ++i) alone.push_back(speak(*engine, request(i)));
  std::vector<Speech> together;
  for (size_t i = 0; i < 8; ++i) together.push_back(submit(*engine, request(i)));
  for (size_t i = 0; i < 8; ++i) {
    const std::vector<float> heard = read_all(together[i].pcm);
    ASSERT_FALSE(heard.empty());
    EXPECT_TRUE(heard == alone[i]) << "bits differ for: " << kTexts[i];
  }
}

TEST(EngineVoice, TheSameSeedGivesTheSameBitsAloneAndInABatchOfEight) {
  expect_same_alone_and_in_company(tiny_voice(), 350);
}

TEST(EngineVoice, TheSameSeedGivesTheSameBitsAloneAndInABatchOfEightWithTheDemoVoice) {
  expect_same_alone_and_in_company(demo_voice(), 70);
}

/// Frames of one request, drawn without the engine.
std::vector<CodeFrame> draw(const EngineConfig& config, const std::string& text, uint64_t seed) {
  ThreadPool threads(2);
  auto codec = open_configured_codec(config, threads);
  auto model = open_configured_model(config, threads);
  auto setup = open_voice_setup(config);
  if (!codec || !model || !setup) {
    ADD_FAILURE() << "cannot open the voice";
    return {};
  }
  const auto prompts = bind_prompts(*std::move(setup), (*codec)->info().codebook_size);
  std::vector<TokenId> prompt;
  EXPECT_TRUE(prompts->build(prompts->default_voice, text, "", prompt));
  SequenceOptions options;
  options.sampling = prompts->sampling;
  options.sampling.seed = segment_seeds(seed, 0).sampling;
  options.layout = prompts->layout;
  options.max_tokens = 1000;
  const SequenceId sequence = *(*model)->open(options);
  Slice slice{.sequence = sequence, .prompt = prompt, .most_tokens = 1};
  SliceResult result;
  FrameAssembler assembler(prompts->layout);
  std::vector<CodeFrame> frames;
  while (!result.stopped) {
    if (!(*model)->step({&slice, 1}, {&result, 1}) || result.count == 0) break;
    slice.prompt = {};
    if (const auto frame = assembler.push(result.tokens[0])) frames.push_back(*frame);
  }
  (*model)->close(sequence);
  return frames;
}

std::vector<float> decode_whole(const EngineConfig& config, CodecBackend backend,
                                std::span<const CodeFrame> frames, uint64_t seed) {
  ThreadPool threads(1);
  CodecOptions options;
  options.folder = config.codec;
  options.backend = backend;
  options.max_streams = 1;
  options.most_frames_per_push = static_cast<int>(frames.size());
  auto codec = open_codec(options, threads);
  if (!codec) {
    ADD_FAILURE() << codec.error().message;
    return {};
  }
  const StreamId stream =
      *(*codec)->open({.noise_seed = segment_seeds(seed, 0).noise, .noise = true});
  CodecWork work{.stream = stream, .frames = frames, .finish = true, .preview = false};
  PcmSpan pcm;
  EXPECT_TRUE((*codec)->push({&work, 1}, {&pcm, 1}));
  std::vector<float> samples(pcm.final_samples.begin(), pcm.final_samples.end());
  (*codec)->close(stream);
  return samples;
}

// The promise of every sample: what is heard piece by piece is the decode of the whole utterance.
TEST(EngineVoice, WhatIsHeardIsTheWholeDecodeOfWhatWasDrawn) {
  const EngineConfig config = voice_config(tiny_voice());
  const auto engine = open_engine(config);
  ASSERT_NE(engine, nullptr);
  const std::string text = kTexts[0];
  const std::vector<CodeFrame> frames = draw(config, text, 5);
  ASSERT_GT(frames.size(), 4u);
  Speech speech = submit(*engine, request_of(text, 5));
  const std::vector<float> heard = read_all(speech.pcm);
  EXPECT_EQ(speech.pcm.summary().frames, static_cast<int64_t>(frames.size()));
  EXPECT_TRUE(heard == decode_whole(config, CodecBackend::kCpu, frames, 5)) << "bits differ";
  EXPECT_TRUE(
      test::all_close(heard, decode_whole(config, CodecBackend::kReference, frames, 5), 1e-4));
}

TEST(EngineVoice, AFastStartHasTheSamplesOfTheExactSpeechBehindItsFirstChunk) {
  const auto engine = open_engine(voice_config(demo_voice()));
  ASSERT_NE(engine, nullptr);
  SynthesisRequest request = request_of("Good night.", 3);
  request.max_tokens = 84;
  const std::vector<float> exact = speak(*engine, request);
  request.fast_start = true;
  const std::vector<float> fast = speak(*engine, request);
  ASSERT_EQ(fast.size(), exact.size());
  const auto chunk = static_cast<std::ptrdiff_t>(engine->info().samples_per_frame);
  EXPECT_FALSE(std::equal(exact.begin(), exact.begin() + chunk, fast.begin()));
  EXPECT_TRUE(std::equal(exact.begin() + chunk, exact.end(), fast.begin() + chunk));
}

TEST(EngineVoice, GreedySpeechDoesNotDependOnTheSeedButItsNoiseDoes) {
  const auto engine = open_engine(voice_config(tiny_voice()));
  ASSERT_NE(engine, nullptr);
  SynthesisRequest request = request_of("No.", 1);
  request.sampling.temperature = 0.0f;
  request.max_tokens = 140;
  const std::vector<float> first = speak(*engine, request);
  request.sampling.seed = 2;
  const std::vector<float> second = speak(*engine, request);
  EXPECT_EQ(first.size(), second.size());
  EXPECT_FALSE(first == second);
}

TEST(EngineVoice, WithoutLegalSlotsBrokenFramesAreCountedAndNothingIsLostSilently) {
  const auto engine = open_engine(voice_config(tiny_voice()));
  ASSERT_NE(engine, nullptr);
  SynthesisRequest request = request_of(kTexts[0], 4);
  request.sampling.legal_slots = false;
  request.max_tokens = 300;
  Speech speech = submit(*engine, request);
  const std::vector<float> heard = read_all(speech.pcm);
  ASSERT_EQ(speech.pcm.state(), PcmSource::State::kFinished);
  const SpeechSummary& summary = speech.pcm.summary();
  EXPECT_EQ(static_cast<int64_t>(heard.size()), summary.frames * engine->info().samples_per_frame);
  EXPECT_LE(7 * summary.frames, summary.generated_tokens);
  for (const float sample : heard) ASSERT_TRUE(std::isfinite(sample));
}

}  // namespace
}  // namespace lyre
