// Long text: segments one after another in one request.

#include <algorithm>

#include <gtest/gtest.h>

#include "engine/engine_rig.h"

namespace lyre {
namespace {

using test::EngineRig;
using test::FakeLanguageModel;
using test::read_all;
using test::request_of;
using test::spoken_segments;
using test::submit;

const std::string kText =
    "The first sentence is here. The second sentence is there. The third one is last.";
const std::vector<std::string> kSegments = {
    "The first sentence is here.", "The second sentence is there.", "The third one is last."};

/// with_lookahead: always begins the next segment early, otherwise never.
void set_up(EngineRig& rig, bool with_lookahead) {
  rig.config.segment_characters = 30;
  rig.fakes.parts.lookahead.after = std::chrono::milliseconds(0);
  rig.fakes.parts.lookahead.lead_below =
      with_lookahead ? std::chrono::hours(1) : std::chrono::hours(-1);
}

TEST(EngineSegments, AreSpokenInOrderWithoutALostOrRepeatedSample) {
  EngineRig rig;
  set_up(rig, false);
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of(kText, 3));
  EXPECT_EQ(speech.segments, 3);
  EXPECT_EQ(read_all(speech.pcm), spoken_segments(kSegments, 3));
  EXPECT_EQ(speech.pcm.summary().segments, 3);
  EXPECT_EQ(speech.pcm.summary().reason, FinishReason::kStop);
  EXPECT_EQ(rig.fakes.language_model->largest_batch(), 1);
  EXPECT_TRUE(rig.all_free());
}

TEST(EngineSegments, BeginningTheNextOneEarlyChangesNoSample) {
  EngineRig rig;
  set_up(rig, true);
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of(kText, 3));
  EXPECT_EQ(read_all(speech.pcm), spoken_segments(kSegments, 3));
  EXPECT_EQ(rig.fakes.language_model->largest_batch(), 2);
  EXPECT_TRUE(rig.all_free());
}

TEST(EngineSegments, TheNextOneIsReadyWhenItsTurnComes) {
  EngineRig rig;
  set_up(rig, true);
  // Pushes of the codec between two steps of the model: at the joint the frames that were waiting
  // follow the flush at once.
  int step = -1;
  std::vector<int> pushes;
  rig.fakes.language_model->on_step = [&](int number, std::span<const Slice>) {
    step = number;
    return ok_status();
  };
  rig.fakes.codec->on_push = [&](int, std::span<const CodecWork>) {
    pushes.resize(static_cast<size_t>(step) + 1);
    ++pushes.back();
    return ok_status();
  };
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of(kText));
  read_all(speech.pcm);
  EXPECT_EQ(*std::max_element(pushes.begin(), pushes.end()), 1 + 4);
}

TEST(EngineSegments, AShortSegmentThatIsReadyAsAWholeIsSpokenAsAWhole) {
  EngineRig rig;
  set_up(rig, true);
  rig.fakes.language_model->script = [](std::span<const TokenId> prompt, uint64_t seed) {
    return FakeLanguageModel::frames_of(prompt.first(std::min<size_t>(prompt.size(), 2)), seed);
  };
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of(kText));
  EXPECT_EQ(read_all(speech.pcm).size(),
            static_cast<size_t>(3 * 2 * test::FakeCodec::kFrameSamples));
  EXPECT_EQ(speech.pcm.summary().frames, 6);
}

TEST(EngineSegments, NobodyIsKeptWaitingForASegmentBegunEarly) {
  EngineRig rig({.max_sequences = 2, .kv_tokens = 8000});
  set_up(rig, true);
  Engine& engine = rig.start();
  Speech first = submit(engine, request_of(kText, 1));
  Speech second = submit(engine, request_of(kText, 2));
  Speech third = submit(engine, request_of(kText, 3));
  EXPECT_EQ(read_all(third.pcm), spoken_segments(kSegments, 3));
  EXPECT_EQ(read_all(second.pcm), spoken_segments(kSegments, 2));
  EXPECT_EQ(read_all(first.pcm), spoken_segments(kSegments, 1));
}

TEST(EngineSegments, OneThatIsCutIsReportedAndTheOthersAreStillSpoken) {
  for (const bool lookahead : {false, true}) {
    EngineRig rig;
    set_up(rig, lookahead);
    rig.fakes.language_model->script = [](std::span<const TokenId> prompt, uint64_t seed) {
      if (prompt.size() != kSegments[1].size()) return FakeLanguageModel::frames_of(prompt, seed);
      return FakeLanguageModel::frames_of(std::vector<TokenId>(5000, 'x'), seed);
    };
    Engine& engine = rig.start();
    Speech speech = submit(engine, request_of(kText));
    read_all(speech.pcm);
    const SpeechSummary& summary = speech.pcm.summary();
    EXPECT_EQ(summary.reason, FinishReason::kLength);
    EXPECT_EQ(summary.segments, 3);
    const auto most = static_cast<int64_t>(1000 - kSegments[1].size());
    EXPECT_EQ(summary.frames, static_cast<int64_t>(kSegments[0].size()) + most / 7 +
                                  static_cast<int64_t>(kSegments[2].size()));
  }
}

TEST(EngineSegments, OneWithoutAnyFrameDoesNotEndTheSpeech) {
  for (const bool lookahead : {false, true}) {
    EngineRig rig;
    set_up(rig, lookahead);
    rig.fakes.language_model->script = [](std::span<const TokenId> prompt, uint64_t seed) {
      if (prompt.size() != kSegments[1].size()) return FakeLanguageModel::frames_of(prompt, seed);
      return std::vector<TokenId>{};
    };
    Engine& engine = rig.start();
    Speech speech = submit(engine, request_of(kText));
    read_all(speech.pcm);
    EXPECT_EQ(speech.pcm.summary().frames,
              static_cast<int64_t>(kSegments[0].size() + kSegments[2].size()));
    EXPECT_EQ(speech.pcm.summary().reason, FinishReason::kStop);
  }
}

TEST(EngineSegments, MaxTokensCountOverAllOfThem) {
  EngineRig rig;
  set_up(rig, true);
  Engine& engine = rig.start();
  SynthesisRequest request = request_of(kText);
  const auto first = static_cast<int>(kSegments[0].size()) * 7 + 1;
  request.max_tokens = first + 2 * 7 + 3;
  Speech speech = submit(engine, request);
  read_all(speech.pcm);
  EXPECT_EQ(speech.pcm.summary().reason, FinishReason::kLength);
  EXPECT_EQ(speech.pcm.summary().generated_tokens, *request.max_tokens);
  EXPECT_EQ(speech.pcm.summary().frames, static_cast<int64_t>(kSegments[0].size()) + 2);
  EXPECT_EQ(speech.pcm.summary().segments, 2);

  // Not enough for a frame of the second: it is not begun.
  request.max_tokens = first + 6;
  Speech shorter = submit(engine, request);
  read_all(shorter.pcm);
  EXPECT_EQ(shorter.pcm.summary().reason, FinishReason::kLength);
  EXPECT_EQ(shorter.pcm.summary().segments, 1);
}

}  // namespace
}  // namespace lyre
