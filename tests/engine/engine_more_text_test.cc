// Text that is spoken while it is still written.
#include <string>
#include <vector>

#include "engine/engine_rig.h"
#include "support/expect_error.h"

namespace lyre {
namespace {

using test::EngineRig;
using test::is_error;
using test::read_all;
using test::spoken_segments;

const std::vector<std::string> kSegments = {
    "A short one.", "This sentence is longer than forty characters are.", "And the end of it all"};

SynthesisRequest open_request(std::string text = "", uint64_t seed = 3) {
  SynthesisRequest request = test::request_of(std::move(text), seed);
  request.more_text = true;
  return request;
}

/// Until the reader was told, and then as the speech says.
void wait_until_idle(const SpeechText& text) {
  while (!text.idle()) std::this_thread::yield();
}

TEST(EngineMoreText, EqualsTheSameSegmentsOfOneRequest) {
  EngineRig rig;
  Speech speech = test::submit(rig.start(), open_request());
  std::string text;
  for (const std::string& segment : kSegments) text += segment + " ";
  for (const char c : text) ASSERT_TRUE(speech.more.append({&c, 1}).ok());
  ASSERT_TRUE(speech.more.finish().ok());
  EXPECT_EQ(read_all(speech.pcm), spoken_segments(kSegments, 3));
  EXPECT_EQ(speech.pcm.state(), PcmSource::State::kFinished);
  const SpeechSummary& summary = speech.pcm.summary();
  EXPECT_EQ(summary.segments, 3);
  EXPECT_EQ(summary.reason, FinishReason::kStop);
  EXPECT_GT(summary.prompt_tokens, 60);
  EXPECT_TRUE(rig.engine->drain());
  EXPECT_TRUE(rig.all_free());
}

TEST(EngineMoreText, IsSpokenBeforeItIsWhole) {
  EngineRig rig;
  Speech speech = test::submit(rig.start(), open_request("A short one. T"));
  ASSERT_TRUE(speech.pcm.wait_readable());  // with no word of the end
  wait_until_idle(speech.more);
  ASSERT_TRUE(speech.more.append("his sentence is longer than forty characters are. And").ok());
  ASSERT_TRUE(speech.more.append(" the end of it all").ok());
  ASSERT_TRUE(speech.more.finish().ok());
  EXPECT_EQ(read_all(speech.pcm), spoken_segments(kSegments, 3));
}

TEST(EngineMoreText, AFlushSpeaksWhatIsThere) {
  EngineRig rig;
  Speech speech = test::submit(rig.start(), open_request("Half a sen"));
  EXPECT_TRUE(speech.more.idle());
  EXPECT_EQ(speech.pcm.readable(), 0u);
  ASSERT_TRUE(speech.more.flush().ok());
  ASSERT_TRUE(speech.pcm.wait_readable());
  wait_until_idle(speech.more);
  ASSERT_TRUE(speech.more.flush().ok());  // nothing there: nothing happens
  EXPECT_TRUE(speech.more.idle());
  ASSERT_TRUE(speech.more.append("tence").ok());
  ASSERT_TRUE(speech.more.finish().ok());
  EXPECT_EQ(read_all(speech.pcm), spoken_segments({"Half a sen", "tence"}, 3));
}

TEST(EngineMoreText, TheReaderIsWokenWhenAllIsSpoken) {
  EngineRig rig;
  Speech speech = test::submit(rig.start(), open_request());
  std::mutex mutex;
  std::condition_variable changed;
  bool spoken = false;
  speech.pcm.notify([&] {
    const std::lock_guard lock(mutex);
    spoken = speech.more.idle();
    changed.notify_one();
  });
  {
    const std::lock_guard lock(mutex);
    spoken = false;
  }
  ASSERT_TRUE(speech.more.append("One.").ok());
  ASSERT_TRUE(speech.more.flush().ok());
  std::unique_lock lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(60), [&] { return spoken; }));
  lock.unlock();
  speech.pcm.notify({});
}

TEST(EngineMoreText, WithoutAWordTheAudioIsEmpty) {
  EngineRig rig;
  Speech speech = test::submit(rig.start(), open_request());
  ASSERT_TRUE(speech.more.append(" \n").ok());
  ASSERT_TRUE(speech.more.finish().ok());
  EXPECT_TRUE(read_all(speech.pcm).empty());
  EXPECT_EQ(speech.pcm.state(), PcmSource::State::kFinished);
  EXPECT_EQ(speech.pcm.summary().segments, 0);
}

TEST(EngineMoreText, ItsDestructorIsTheEnd) {
  EngineRig rig;
  Speech speech = test::submit(rig.start(), open_request("Now go"));
  { const SpeechText gone = std::move(speech.more); }
  EXPECT_EQ(read_all(speech.pcm), spoken_segments({"Now go"}, 3));
}

TEST(EngineMoreText, AReaderThatLeavesFreesEverythingThoughTextIsAwaited) {
  EngineRig rig;
  Engine& engine = rig.start();
  Speech speech = test::submit(engine, open_request("Gone. N"));
  ASSERT_TRUE(speech.pcm.wait_readable());
  wait_until_idle(speech.more);
  speech.pcm = {};
  ASSERT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
  EXPECT_TRUE(is_error(speech.more.append("more. T"), ErrorCode::kUnavailable, {"ended"}));
  EXPECT_EQ(engine.stats().requests_cancelled, 1);
}

TEST(EngineMoreText, WaitingForTextHoldsNoSequenceAndStopsNobody) {
  EngineRig rig({.max_sequences = 1, .kv_tokens = 2000});
  Engine& engine = rig.start();
  Speech waiting = test::submit(engine, open_request());
  Speech other = test::submit(engine, test::request_of("Me first.", 5));
  EXPECT_EQ(read_all(other.pcm), test::spoken("Me first.", 5));
  EXPECT_EQ(engine.stats().running, 0);
  ASSERT_TRUE(waiting.more.append("Now I").ok());
  ASSERT_TRUE(waiting.more.finish().ok());
  EXPECT_EQ(read_all(waiting.pcm), spoken_segments({"Now I"}, 3));
}

TEST(EngineMoreText, BadPiecesAreToldAndLeftOut) {
  EngineRig rig;
  rig.config.max_text_bytes = 20;
  Speech speech = test::submit(rig.start(), open_request());
  ASSERT_TRUE(speech.more.append("Good ").ok());
  EXPECT_TRUE(is_error(speech.more.append("\xFF"), ErrorCode::kInvalidArgument, {"UTF-8"}));
  EXPECT_TRUE(is_error(speech.more.append("far too long a piece"), ErrorCode::kInvalidArgument,
                       {"20 bytes", "25"}));
  ASSERT_TRUE(speech.more.append("end").ok());
  ASSERT_TRUE(speech.more.finish().ok());
  EXPECT_TRUE(is_error(speech.more.append("!"), ErrorCode::kInvalidArgument, {"after the end"}));
  EXPECT_EQ(read_all(speech.pcm), spoken_segments({"Good end"}, 3));
}

TEST(EngineMoreText, ALimitOfTokensEndsItAndLaterTextIsRefused) {
  EngineRig rig;
  SynthesisRequest request = open_request("One. T");
  request.max_tokens = 5 * CodeLayout::kSlots;  // "One." takes four frames and the stop id
  Speech speech = test::submit(rig.start(), request);
  ASSERT_TRUE(speech.more.append("wo").ok());
  ASSERT_TRUE(speech.more.flush().ok());
  std::vector<float> expected = spoken_segments({"One.", "Two"}, 3);
  expected.resize(test::spoken("One.", 3).size());
  EXPECT_EQ(read_all(speech.pcm), expected);
  ASSERT_EQ(speech.pcm.state(), PcmSource::State::kFinished);
  EXPECT_EQ(speech.pcm.summary().reason, FinishReason::kLength);
  EXPECT_TRUE(is_error(speech.more.append("Three."), ErrorCode::kUnavailable, {"ended"}));
  EXPECT_TRUE(rig.engine->drain());
  EXPECT_EQ(rig.engine->stats().requests_cut, 1);
}

TEST(EngineMoreText, ADrainWaitsForTheEndOfTheText) {
  EngineRig rig;
  Speech speech = test::submit(rig.start(), open_request());
  EXPECT_FALSE(rig.engine->drain(std::chrono::milliseconds(1)));
  ASSERT_TRUE(speech.more.append("Last words").ok());
  ASSERT_TRUE(speech.more.finish().ok());
  EXPECT_TRUE(rig.engine->drain());
  EXPECT_EQ(read_all(speech.pcm), test::spoken("Last words", 3));
}

TEST(EngineMoreText, WhatIsAwaitedWhenTheEngineGoesIsToldSo) {
  EngineRig rig;
  Speech speech = test::submit(rig.start(), open_request());
  rig.engine.reset();
  EXPECT_FALSE(speech.pcm.wait_readable());
  ASSERT_EQ(speech.pcm.state(), PcmSource::State::kFailed);
  EXPECT_EQ(speech.pcm.error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace lyre
