#include "lyre/engine/engine.h"

#include <cmath>
#include <thread>

#include <gtest/gtest.h>

#include "engine/engine_rig.h"

namespace lyre {
namespace {

using test::EngineRig;
using test::FakeCodec;
using test::FakeLanguageModel;
using test::read_all;
using test::request_of;
using test::spoken;
using test::submit;
using State = PcmSource::State;

constexpr int64_t kFrame = FakeCodec::kFrameSamples;

TEST(Engine, SpeaksTheWholeUtterance) {
  EngineRig rig;
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("Hello.", 7));
  EXPECT_EQ(speech.seed, 7u);
  EXPECT_EQ(speech.voice, "ada");
  EXPECT_EQ(speech.prompt_tokens, 6);
  EXPECT_EQ(speech.segments, 1);
  EXPECT_EQ(read_all(speech.pcm), spoken("Hello.", 7));
  ASSERT_EQ(speech.pcm.state(), State::kFinished);
  const SpeechSummary& summary = speech.pcm.summary();
  EXPECT_EQ(summary.reason, FinishReason::kStop);
  EXPECT_EQ(summary.segments, 1);
  EXPECT_EQ(summary.prompt_tokens, 6);
  EXPECT_EQ(summary.frames, 6);
  EXPECT_EQ(summary.generated_tokens, 6 * 7 + 1);
  EXPECT_EQ(summary.samples, 6 * kFrame);
  EXPECT_EQ(summary.dropped_frames, 0);
  EXPECT_TRUE(rig.all_free());
}

TEST(Engine, TellsTheTimesOfARequest) {
  EngineRig rig;
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("Hello."));
  read_all(speech.pcm);
  const SpeechSummary& summary = speech.pcm.summary();
  EXPECT_GE(summary.queue_ms, 0);
  EXPECT_GE(summary.prefill_ms, 0);
  EXPECT_GT(summary.first_audio_ms, 0);
  EXPECT_GE(summary.first_audio_ms, summary.queue_ms + summary.prefill_ms);
  EXPECT_GE(summary.total_ms, summary.first_audio_ms);
}

TEST(Engine, DescribesWhatWasOpened) {
  EngineRig rig;
  const EngineInfo& info = rig.start().info();
  EXPECT_EQ(info.model_name, "fake");
  EXPECT_EQ(info.sample_rate_hz, 24000);
  EXPECT_EQ(info.samples_per_frame, kFrame);
  EXPECT_EQ(info.voices.size(), 2u);
  EXPECT_EQ(info.default_voice, "ada");
  EXPECT_EQ(info.max_batch, 8);
  EXPECT_TRUE(rig.engine->health());
}

// B4: fewer than 28 ids gave no audio at all, and of N frames only N - 3 were heard.
TEST(Engine, PeerFaultB4EveryFrameIsHeardHoweverFew) {
  EngineRig rig;
  Engine& engine = rig.start();
  for (const std::string text : {"a", "ab", "abc", "abcd", "abcde"}) {
    Speech speech = submit(engine, request_of(text));
    EXPECT_EQ(read_all(speech.pcm), spoken(text, 1)) << text;
    EXPECT_EQ(speech.pcm.summary().samples, kFrame * static_cast<int64_t>(text.size()));
  }
}

// B20: codec batches waited for a timer on every frame. The push follows the step that completes
// the frame, before the next step.
TEST(Engine, PeerFaultB20AFrameGoesToTheCodecBeforeTheNextStep) {
  EngineRig rig;
  std::vector<int> steps_at_push;
  rig.fakes.codec->on_push = [&](int, std::span<const CodecWork>) {
    steps_at_push.push_back(rig.fakes.language_model->steps());
    return ok_status();
  };
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("abc"));
  read_all(speech.pcm);
  // The first step takes the prompt in and draws the first id; the flush follows the stop id.
  EXPECT_EQ(steps_at_push, (std::vector<int>{7, 14, 21, 22}));
}

TEST(Engine, TheSameSeedGivesTheSameSamplesAloneAndInABatchOfEight) {
  EngineRig rig;
  Engine& engine = rig.start();
  const std::string texts[] = {"one",  "two words", "three of them", "four",
                               "five", "six",       "seven",         "and eight"};
  std::vector<Speech> speeches;
  for (uint64_t i = 0; i < 8; ++i) speeches.push_back(submit(engine, request_of(texts[i], i)));
  for (uint64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(read_all(speeches[i].pcm), spoken(texts[i], i)) << texts[i];
  }
  EXPECT_NE(spoken("one", 1), spoken("one", 2));
  EXPECT_TRUE(rig.all_free());
}

TEST(Engine, RequestsAreSteppedAndDecodedTogether) {
  EngineRig rig;
  test::Gate gate;
  rig.fakes.language_model->on_step = [&](int, std::span<const Slice>) {
    gate.pass();
    return ok_status();
  };
  Engine& engine = rig.start();
  std::vector<Speech> speeches;
  for (int i = 0; i < 5; ++i) speeches.push_back(submit(engine, request_of("together")));
  gate.open();
  for (Speech& speech : speeches) read_all(speech.pcm);
  EXPECT_GE(rig.fakes.language_model->largest_batch(), 4);
  EXPECT_GE(rig.fakes.codec->largest_batch(), 4);
}

TEST(Engine, ASlowReaderPausesOnlyItself) {
  EngineRig rig;
  rig.config.buffer_seconds = 0;  // the least that a channel may hold
  const std::string text(60, 'x');
  Engine& engine = rig.start();
  Speech slow = submit(engine, request_of(text, 1));
  Speech quick = submit(engine, request_of(text, 2));
  EXPECT_EQ(read_all(quick.pcm), spoken(text, 2));
  EXPECT_EQ(slow.pcm.state(), State::kOpen);
  EXPECT_LT(engine.stats().free_kv_tokens, engine.stats().total_kv_tokens);
  EXPECT_EQ(read_all(slow.pcm), spoken(text, 1));
  EXPECT_TRUE(rig.all_free());
}

TEST(Engine, AnEngineWithNothingToDoSleeps) {
  EngineRig rig;
  rig.config.buffer_seconds = 0;
  Engine& engine = rig.start();
  Speech paused = submit(engine, request_of(std::string(60, 'x')));
  // Every round asks the model what is free. Once the channel is full the rounds must cease.
  const FakeLanguageModel& model = *rig.fakes.language_model;
  int64_t rounds = -1;
  while (rounds != model.asked_for_room()) {
    rounds = model.asked_for_room();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(model.asked_for_room(), rounds);
  EXPECT_EQ(paused.pcm.state(), State::kOpen);
  EXPECT_EQ(read_all(paused.pcm).size(), static_cast<size_t>(60 * kFrame));
}

TEST(Engine, TheQueueHasABound) {
  EngineRig rig({.max_sequences = 1, .kv_tokens = 1008});
  rig.config.max_queue = 2;
  test::Gate gate;
  rig.fakes.language_model->on_step = [&](int, std::span<const Slice>) {
    gate.pass();
    return ok_status();
  };
  Engine& engine = rig.start();
  std::vector<Speech> speeches;
  for (int i = 0; i < 3; ++i) speeches.push_back(submit(engine, request_of("abc")));
  const auto refused = engine.submit(request_of("abc"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("queue is full"), std::string::npos);
  gate.open();
  for (Speech& speech : speeches) EXPECT_EQ(read_all(speech.pcm), spoken("abc", 1));
  // Room again as soon as a reader has seen the end of his speech.
  Speech last = submit(engine, request_of("abc"));
  EXPECT_EQ(read_all(last.pcm), spoken("abc", 1));
  EXPECT_EQ(engine.stats().requests_submitted, 4);
}

TEST(Engine, RequestsWaitForPagesInOrder) {
  // Each sequence may take up to 750 tokens of the pool of 1,008: one at a time.
  EngineRig rig({.max_sequences = 4, .kv_tokens = 1008});
  Engine& engine = rig.start();
  std::vector<Speech> speeches;
  for (uint64_t i = 0; i < 4; ++i) speeches.push_back(submit(engine, request_of("pages", i)));
  for (uint64_t i = 0; i < 4; ++i) EXPECT_EQ(read_all(speeches[i].pcm), spoken("pages", i));
  EXPECT_EQ(rig.fakes.language_model->largest_batch(), 1);
}

TEST(Engine, MaxTokensCutsAndSaysSo) {
  EngineRig rig;
  Engine& engine = rig.start();
  SynthesisRequest request = request_of("abcdef");
  request.max_tokens = 17;
  Speech speech = submit(engine, request);
  const std::vector<float> heard = read_all(speech.pcm);
  std::vector<float> expected = spoken("abcdef", 1);
  expected.resize(2 * kFrame);
  EXPECT_EQ(heard, expected);
  EXPECT_EQ(speech.pcm.summary().reason, FinishReason::kLength);
  EXPECT_EQ(speech.pcm.summary().generated_tokens, 17);
  EXPECT_EQ(engine.stats().requests_cut, 1);
}

TEST(Engine, ASpeechThatFitsMaxTokensExactlyIsNotCut) {
  EngineRig rig;
  Engine& engine = rig.start();
  SynthesisRequest request = request_of("abc");
  request.max_tokens = 3 * 7 + 1;  // with the stop id
  Speech speech = submit(engine, request);
  EXPECT_EQ(read_all(speech.pcm), spoken("abc", 1));
  EXPECT_EQ(speech.pcm.summary().reason, FinishReason::kStop);
}

// B12: a hard cut after 14.6 s that nobody was told of; and models that never stop.
TEST(Engine, PeerFaultB12EndlessSpeechIsCutAndReported) {
  EngineRig rig;
  rig.fakes.language_model->script = [](std::span<const TokenId>, uint64_t seed) {
    return FakeLanguageModel::frames_of(std::vector<TokenId>(5000, 'x'), seed);
  };
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("Hi"));
  read_all(speech.pcm);
  ASSERT_EQ(speech.pcm.state(), State::kFinished);
  EXPECT_EQ(speech.pcm.summary().reason, FinishReason::kLength);
  // The sequence of 1,000 tokens less the prompt is the tighter limit here.
  EXPECT_EQ(speech.pcm.summary().generated_tokens, 998);
  EXPECT_EQ(speech.pcm.summary().frames, 998 / 7);
  EXPECT_TRUE(rig.all_free());
}

TEST(Engine, AModelOfAShorterContextBoundsItsSequences) {
  EngineRig rig({.kv_tokens = 4000, .max_sequence_tokens = 128});
  rig.fakes.language_model->script = [](std::span<const TokenId>, uint64_t seed) {
    return FakeLanguageModel::frames_of(std::vector<TokenId>(5000, 'x'), seed);
  };
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("Hi"));
  read_all(speech.pcm);
  ASSERT_EQ(speech.pcm.state(), State::kFinished);
  EXPECT_EQ(speech.pcm.summary().generated_tokens, 126);
}

TEST(Engine, AModelThatSaysNothingEndsInSilenceNotInAHang) {
  EngineRig rig;
  rig.fakes.language_model->script = [](std::span<const TokenId>, uint64_t) {
    return std::vector<TokenId>{};
  };
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("Hello."));
  EXPECT_TRUE(read_all(speech.pcm).empty());
  ASSERT_EQ(speech.pcm.state(), State::kFinished);
  EXPECT_EQ(speech.pcm.summary().frames, 0);
  EXPECT_EQ(speech.pcm.summary().first_audio_ms, 0);
}

// B1, B8: ids out of turn shifted all that followed. They cost their own frame, and are counted.
TEST(Engine, PeerFaultB1B8BrokenFramesAreDroppedAndCountedNeverAShift) {
  EngineRig rig;
  rig.fakes.language_model->script = [](std::span<const TokenId> prompt, uint64_t seed) {
    auto ids = FakeLanguageModel::frames_of(prompt, seed);
    ids.erase(ids.begin() + 10);             // slot 3 of frame 1
    ids.insert(ids.begin() + 20, 258);       // not a code, at the border of frames 2 and 3
    ids.insert(ids.end(), {300, 350, 400});  // a frame that the stop id breaks off
    return ids;
  };
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("abcdef"));
  const std::vector<float> heard = read_all(speech.pcm);
  std::vector<float> expected = spoken("abcdef", 1);
  expected.erase(expected.begin() + kFrame, expected.begin() + 2 * kFrame);
  EXPECT_EQ(heard, expected);
  EXPECT_EQ(speech.pcm.summary().frames, 5);
  EXPECT_EQ(speech.pcm.summary().dropped_frames, 2);
  EXPECT_EQ(engine.stats().dropped_frames, 2);
}

TEST(Engine, FastStartKeepsTheNumberOfSamplesAndEndsExact) {
  for (const int first_chunk_frames : {1, 2, 9}) {
    EngineRig rig;
    rig.config.first_chunk_frames = first_chunk_frames;
    std::vector<int> previews;
    rig.fakes.codec->on_push = [&](int push, std::span<const CodecWork> batch) {
      if (batch[0].preview) previews.push_back(push);
      return ok_status();
    };
    Engine& engine = rig.start();
    SynthesisRequest request = request_of("abcdef");
    request.fast_start = true;
    Speech speech = submit(engine, request);
    const std::vector<float> heard = read_all(speech.pcm);
    const std::vector<float> exact = spoken("abcdef", 1);
    ASSERT_EQ(heard.size(), exact.size());
    if (first_chunk_frames > 6) {  // the speech was shorter than the first chunk
      EXPECT_EQ(heard, exact);
      continue;
    }
    EXPECT_EQ(previews, std::vector<int>{first_chunk_frames - 1});
    const auto chunk = first_chunk_frames * kFrame;
    EXPECT_TRUE(std::equal(heard.begin() + chunk, heard.end(), exact.begin() + chunk));
    EXPECT_EQ(heard[static_cast<size_t>(chunk - 97)],
              FakeCodec::provisional(exact[static_cast<size_t>(chunk - 97)]));
  }
}

// B3: the first chunk was empty, and the time to the first byte was taken from it.
TEST(Engine, PeerFaultB3TheFirstChunkOfAFastStartHoldsAFrame) {
  EngineRig rig;
  rig.config.fast_start = true;
  test::Gate gate;
  rig.fakes.codec->on_push = [&](int push, std::span<const CodecWork>) {
    if (push == 1) gate.pass();
    return ok_status();
  };
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("abcdef"));
  gate.wait_until_reached();
  EXPECT_EQ(speech.pcm.readable(), static_cast<size_t>(kFrame - 96));
  gate.open();
  EXPECT_EQ(read_all(speech.pcm).size(), static_cast<size_t>(6 * kFrame));
}

TEST(Engine, RefusesWhatCannotBeSpoken) {
  EngineRig rig;
  Engine& engine = rig.start();
  const auto refused = engine.submit(request_of(" "));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine.stats().requests_submitted, 0);
}

TEST(Engine, RefusesConfigurationsAndPartsThatDoNotFit) {
  const auto error_of = [](const std::function<void(EngineRig&)>& spoil) {
    EngineRig rig;
    spoil(rig);
    const auto opened = Engine::assemble(rig.config, std::move(rig.fakes.parts));
    return opened ? std::string("accepted") : opened.error().message;
  };
  EXPECT_EQ(error_of([](EngineRig& rig) { rig.config.max_batch = 0; }),
            "max_batch: expected at least 1, found 0");
  EXPECT_EQ(error_of([](EngineRig& rig) { rig.config.device = -1; }),
            "device: expected at least 0, found -1");
  EXPECT_EQ(error_of([](EngineRig& rig) { rig.config.kv_tokens = -1; }),
            "kv_tokens: expected at least 0, found -1");
  EXPECT_EQ(error_of([](EngineRig& rig) { rig.config.segment_characters = 3; }),
            "segment_characters: expected at least 16, found 3");
  EXPECT_NE(error_of([](EngineRig& rig) {
              rig.config.buffer_seconds = std::nan("");
            }).find("buffer_seconds"),
            std::string::npos);
  EXPECT_NE(error_of([](EngineRig& rig) {
              rig.config.max_sequence_tokens = 9000;
            }).find("max_sequence_tokens: expected at most the KV pool"),
            std::string::npos);
  EXPECT_NE(error_of([](EngineRig& rig) {
              rig.fakes.parts.prompts.layout.codebook_size = 64;
            }).find("codebook of 64"),
            std::string::npos);
  EXPECT_NE(error_of([](EngineRig& rig) {
              rig.fakes.parts.prompts.layout.first_code = 351;
            }).find("do not belong together"),
            std::string::npos);
  EXPECT_NE(error_of([](EngineRig& rig) {
              rig.fakes.parts.prompts.layout.stop_ids = {700};
            }).find("stop id 700"),
            std::string::npos);
}

}  // namespace
}  // namespace lyre
