// A language model that steps in the background, or draws several tokens a step: what is heard is
// the same, nothing is asked of the model between the halves of a step (the double checks that),
// and whatever ends meanwhile is given back.

#include <algorithm>
#include <optional>
#include <random>
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
using test::spoken_segments;
using test::submit;
using State = PcmSource::State;

struct Stepping {
  const char* name;
  bool background, several;
};
constexpr Stepping kSteppings[] = {
    {"background", true, false}, {"several", false, true}, {"both", true, true}};

void set_up(EngineRig& rig, const Stepping& stepping) {
  rig.fakes.language_model->info_for_test().steps_in_background = stepping.background;
  rig.fakes.language_model->info_for_test().draws_several = stepping.several;
}

const SynthesisRequest kLongRequest = request_of("One two three four. Five six seven.");
const std::vector<std::string> kLongSegments = {"One two three four.", "Five six seven."};

/// Segments that are begun long before their turn.
void set_up_long_text(EngineRig& rig) {
  rig.config.segment_characters = 20;
  rig.fakes.parts.lookahead.after = std::chrono::milliseconds(0);
  rig.fakes.parts.lookahead.lead_below = std::chrono::hours(1);
}

class EngineOverlap : public testing::TestWithParam<Stepping> {
 protected:
  void SetUp() override { set_up(rig, GetParam()); }

  EngineRig rig;
};
INSTANTIATE_TEST_SUITE_P(Stepping, EngineOverlap, testing::ValuesIn(kSteppings),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(EngineOverlap, SpeaksTheSameAloneAndInABatch) {
  Engine& engine = rig.start();
  for (const std::string text : {"a", "ab", "Hello there.", "a sentence of some length"}) {
    Speech speech = submit(engine, request_of(text, 7));
    EXPECT_EQ(read_all(speech.pcm), spoken(text, 7)) << text;
    ASSERT_EQ(speech.pcm.state(), State::kFinished);
    EXPECT_EQ(speech.pcm.summary().generated_tokens, static_cast<int64_t>(text.size()) * 7 + 1);
  }
  const std::string texts[] = {"one",  "two words", "three of them", "four",
                               "five", "six",       "seven",         "and eight"};
  std::vector<Speech> speeches;
  for (uint64_t i = 0; i < 8; ++i) speeches.push_back(submit(engine, request_of(texts[i], i)));
  for (uint64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(read_all(speeches[i].pcm), spoken(texts[i], i)) << texts[i];
  }
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
}

TEST_P(EngineOverlap, SpeaksSegmentsThatWereBegunEarly) {
  set_up_long_text(rig);
  Engine& engine = rig.start();
  Speech speech = submit(engine, kLongRequest);
  EXPECT_EQ(read_all(speech.pcm), spoken_segments(kLongSegments, 1));
  EXPECT_EQ(speech.pcm.summary().segments, 2);
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
}

TEST_P(EngineOverlap, SpeaksTextThatFollows) {
  Engine& engine = rig.start();
  SynthesisRequest request = request_of("One two three four. ");
  request.more_text = true;
  Speech speech = submit(engine, request);
  ASSERT_TRUE(speech.more.flush());
  std::vector<float> samples;
  std::vector<float> part(1000);
  ASSERT_TRUE(speech.pcm.wait_readable());
  ASSERT_TRUE(speech.more.append("Five six seven."));
  ASSERT_TRUE(speech.more.finish());
  read_all(speech.pcm);
  ASSERT_EQ(speech.pcm.state(), State::kFinished);
  EXPECT_EQ(speech.pcm.summary().segments, 2);
  EXPECT_EQ(speech.pcm.summary().samples,
            static_cast<int64_t>(spoken_segments(kLongSegments, 1).size()));
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
}

TEST_P(EngineOverlap, ASlowReaderPausesOnlyItself) {
  rig.config.buffer_seconds = 0;  // the least that a channel may hold
  const std::string text(60, 'x');
  Engine& engine = rig.start();
  Speech slow = submit(engine, request_of(text, 1));
  Speech quick = submit(engine, request_of(text, 2));
  EXPECT_EQ(read_all(quick.pcm), spoken(text, 2));
  EXPECT_EQ(slow.pcm.state(), State::kOpen);
  EXPECT_EQ(read_all(slow.pcm), spoken(text, 1));
  EXPECT_TRUE(rig.all_free());
}

TEST_P(EngineOverlap, AnEngineWithNothingToDoSleeps) {
  rig.config.buffer_seconds = 0;
  Engine& engine = rig.start();
  Speech paused = submit(engine, request_of(std::string(60, 'x')));
  const FakeLanguageModel& model = *rig.fakes.language_model;
  int64_t rounds = -1;
  while (rounds != model.asked_for_room()) {
    rounds = model.asked_for_room();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(paused.pcm.state(), State::kOpen);
  EXPECT_EQ(read_all(paused.pcm), spoken(std::string(60, 'x'), 1));
}

TEST_P(EngineOverlap, FewerStreamsThanSequences) {
  EngineRig narrow({.max_sequences = 8, .kv_tokens = 8000});
  set_up(narrow, GetParam());
  narrow.fakes.codec->info_for_test().max_streams = 1;
  Engine& engine = narrow.start();
  std::vector<Speech> speeches;
  for (uint64_t i = 0; i < 6; ++i) speeches.push_back(submit(engine, request_of("narrow", i)));
  for (uint64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(read_all(speeches[i].pcm), spoken("narrow", i));
  }
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(narrow.all_free());
}

TEST_P(EngineOverlap, ModelsThatSayNothingOrNeverStop) {
  rig.fakes.language_model->script = [](std::span<const TokenId> prompt, uint64_t seed) {
    if (prompt.size() == 1) return std::vector<TokenId>{};
    return FakeLanguageModel::frames_of(std::vector<TokenId>(5000, 'x'), seed);
  };
  Engine& engine = rig.start();
  Speech nothing = submit(engine, request_of("a"));
  EXPECT_TRUE(read_all(nothing.pcm).empty());
  EXPECT_EQ(nothing.pcm.state(), State::kFinished);
  Speech endless = submit(engine, request_of("Hi"));
  read_all(endless.pcm);
  ASSERT_EQ(endless.pcm.state(), State::kFinished);
  EXPECT_EQ(endless.pcm.summary().reason, FinishReason::kLength);
  EXPECT_EQ(endless.pcm.summary().generated_tokens, 998);
  EXPECT_EQ(endless.pcm.summary().frames, 998 / 7);
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
}

TEST_P(EngineOverlap, BrokenFramesAreDroppedAndNeverAShift) {
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
  constexpr auto kFrame = FakeCodec::kFrameSamples;
  expected.erase(expected.begin() + kFrame, expected.begin() + 2 * kFrame);
  EXPECT_EQ(heard, expected);
  EXPECT_EQ(engine.stats().dropped_frames, 2);
}

TEST_P(EngineOverlap, TheWarmUpRunsAndChangesNoSample) {
  Engine& engine = rig.start();
  EXPECT_TRUE(engine.warmup_models().warm);
  EXPECT_TRUE(rig.all_free());
  Speech speech = submit(engine, request_of("warm", 3));
  EXPECT_EQ(read_all(speech.pcm), spoken("warm", 3));
}

/// Where something may go wrong, or the reader go away.
enum class Call { kBegin, kStep, kPush, kOpenSequence, kOpenStream };
constexpr Call kCalls[] = {Call::kBegin, Call::kStep, Call::kPush, Call::kOpenSequence,
                           Call::kOpenStream};

void hook(EngineRig& rig, Call call, std::function<Status()> run) {
  const auto on_step = [run](int, std::span<const Slice>) { return run(); };
  const auto on_push = [run](int, std::span<const CodecWork>) { return run(); };
  switch (call) {
    case Call::kBegin:
      rig.fakes.language_model->on_begin = on_step;
      break;
    case Call::kStep:
      rig.fakes.language_model->on_step = on_step;
      break;
    case Call::kPush:
      rig.fakes.codec->on_push = on_push;
      break;
    case Call::kOpenSequence:
      rig.fakes.language_model->on_open = run;
      break;
    case Call::kOpenStream:
      rig.fakes.codec->on_open = run;
      break;
  }
}

/// Least number of calls in the long request, which keep the loops below from testing nothing.
int least_calls(Call call, const Stepping& stepping) {
  switch (call) {
    case Call::kBegin:
      return stepping.background ? 30 : 0;
    case Call::kStep:
      return stepping.several ? 30 : 18 * 7;
    case Call::kPush:
      return 30;
    case Call::kOpenSequence:
    case Call::kOpenStream:
      return 2;
  }
  return 0;
}

/// The reader goes away within the call; false once the speech has fewer of them.
bool cancel_during(Call call, int at, const Stepping& stepping) {
  SCOPED_TRACE("call " + std::to_string(at));
  EngineRig rig({.max_sequences = 2, .kv_tokens = 4000, .max_batch_tokens = 8});
  set_up(rig, stepping);
  set_up_long_text(rig);
  std::optional<Speech> speech;
  std::mutex speech_is_there;
  int calls = 0;
  bool cancelled = false;
  hook(rig, call, [&] {
    if (calls++ != at) return ok_status();
    const std::lock_guard lock(speech_is_there);
    speech.reset();
    cancelled = true;
    return ok_status();
  });
  Engine& engine = rig.start();
  {
    const std::lock_guard lock(speech_is_there);
    speech.emplace(submit(engine, kLongRequest));
  }
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
  EXPECT_EQ(engine.stats().requests_cancelled, cancelled ? 1 : 0);
  return cancelled;
}

TEST_P(EngineOverlap, CancellationWithinEveryCallFreesEverything) {
  for (const Call call : kCalls) {
    SCOPED_TRACE(static_cast<int>(call));
    int at = 0;
    while (cancel_during(call, at, GetParam())) ++at;
    EXPECT_GE(at, least_calls(call, GetParam()));
  }
}

/// The call fails, while another request runs beside; false once there are fewer of them.
bool fail_call(Call call, int at, ErrorCode code, const Stepping& stepping) {
  SCOPED_TRACE("call " + std::to_string(at));
  EngineRig rig;
  set_up(rig, stepping);
  set_up_long_text(rig);
  int calls = 0;
  bool failed = false;
  hook(rig, call, [&]() -> Status {
    if (calls++ != at) return ok_status();
    failed = true;
    return Error{code, "injected"};
  });
  Engine& engine = rig.start();
  struct Request {
    SynthesisRequest request;
    std::vector<float> expected;
  };
  const Request requests[] = {{kLongRequest, spoken_segments(kLongSegments, 1)},
                              {request_of("beside", 5), spoken("beside", 5)}};
  std::vector<std::optional<Speech>> speeches;
  for (const Request& one : requests) {
    // Once the device is lost nobody comes in.
    auto speech = engine.submit(one.request);
    EXPECT_TRUE(speech || speech.error().code == ErrorCode::kDeviceLost);
    speeches.emplace_back();
    if (speech) speeches.back().emplace(*std::move(speech));
  }
  int64_t failures = 0;
  for (size_t i = 0; i < speeches.size(); ++i) {
    if (!speeches[i]) continue;
    PcmSource& pcm = speeches[i]->pcm;
    const std::vector<float> heard = read_all(pcm);
    if (pcm.state() == State::kFinished) {
      EXPECT_EQ(heard, requests[i].expected);
      continue;
    }
    ++failures;
    EXPECT_EQ(pcm.state(), State::kFailed);
    EXPECT_EQ(pcm.error().code, code);
  }
  EXPECT_EQ(failures > 0, failed);
  EXPECT_EQ(engine.stats().requests_failed, failures);
  if (failed && code == ErrorCode::kDeviceLost) {
    const Status health = engine.health();
    EXPECT_FALSE(health);
    const auto refused = engine.submit(request_of("too late"));
    EXPECT_TRUE(!refused && refused.error().code == ErrorCode::kDeviceLost);
  } else if (failed) {
    // A bad request never takes down a good one: the engine speaks on.
    EXPECT_TRUE(engine.health());
    Speech next = submit(engine, request_of("next"));
    EXPECT_EQ(read_all(next.pcm), spoken("next", 1));
  }
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
  return failed;
}

TEST_P(EngineOverlap, FailureOfEveryCallEndsItsRequestsAndFreesEverything) {
  for (const Call call : kCalls) {
    SCOPED_TRACE(static_cast<int>(call));
    int at = 0;
    while (fail_call(call, at, ErrorCode::kInternal, GetParam())) ++at;
    EXPECT_GE(at, least_calls(call, GetParam()));
  }
}

TEST_P(EngineOverlap, ADeviceThatIsLostInAnyCallFailsEverybodyAndLetsNobodyIn) {
  for (const Call call : kCalls) {
    SCOPED_TRACE(static_cast<int>(call));
    int at = 0;
    while (fail_call(call, at, ErrorCode::kDeviceLost, GetParam())) ++at;
    EXPECT_GE(at, least_calls(call, GetParam()));
  }
}

TEST_P(EngineOverlap, ALostDeviceFailsTheStepAndThePushBesideIt) {
  bool lost = false;
  const auto lose = [&lost]() -> Status {
    if (!lost) return ok_status();
    return Error{ErrorCode::kDeviceLost, "the device fell off the bus"};
  };
  hook(rig, Call::kStep, lose);
  rig.fakes.codec->on_push = [&](int push, std::span<const CodecWork>) {
    lost = lost || push == 2;
    return lose();
  };
  Engine& engine = rig.start();
  std::vector<Speech> speeches;
  for (uint64_t i = 0; i < 4; ++i) {
    auto speech = engine.submit(request_of("a sentence of some length", i));
    if (speech) speeches.push_back(*std::move(speech));
  }
  ASSERT_FALSE(speeches.empty());
  for (Speech& speech : speeches) {
    read_all(speech.pcm);
    ASSERT_EQ(speech.pcm.state(), State::kFailed);
    EXPECT_EQ(speech.pcm.error().code, ErrorCode::kDeviceLost);
  }
  EXPECT_FALSE(engine.health());
  EXPECT_EQ(engine.stats().requests_failed, static_cast<int64_t>(speeches.size()));
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
}

TEST_P(EngineOverlap, TheEndOfTheEngineGivesEverythingBack) {
  rig.config.buffer_seconds = 0;
  Engine& engine = rig.start();
  Speech running = submit(engine, request_of(std::string(80, 'x')));
  ASSERT_TRUE(running.pcm.wait_readable());
  rig.engine.reset();  // the doubles check that nothing is left open
  read_all(running.pcm);
  ASSERT_EQ(running.pcm.state(), State::kFailed);
  EXPECT_EQ(running.pcm.error().code, ErrorCode::kUnavailable);
}

TEST_P(EngineOverlap, ManyMaySubmitReadAndCancelAtTheSameTime) {
  rig.config.max_queue = 1000;
  rig.config.buffer_seconds = 0.05;
  set_up_long_text(rig);
  Engine& engine = rig.start();
  std::vector<std::thread> clients;
  for (uint32_t client = 0; client < 4; ++client) {
    clients.emplace_back([&engine, client] {
      std::mt19937 random(client);
      for (uint64_t i = 0; i < 12; ++i) {
        if (random() % 3 == 0) {
          Speech cancelled = submit(engine, kLongRequest);
          if (random() % 2 == 0) static_cast<void>(cancelled.pcm.wait_readable());
          continue;
        }
        Speech speech = submit(engine, request_of("short text", i));
        ASSERT_EQ(read_all(speech.pcm), spoken("short text", i));
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
}

TEST(EngineBackground, AFrameGoesToTheCodecBesideTheNextStep) {
  EngineRig rig;
  set_up(rig, {"background", true, false});
  struct Push {
    int steps;  // that have ended
    bool beside;
    bool operator==(const Push&) const = default;
  };
  std::vector<Push> pushes;
  const FakeLanguageModel& model = *rig.fakes.language_model;
  rig.fakes.codec->on_push = [&](int, std::span<const CodecWork>) {
    pushes.push_back({model.steps(), model.in_step()});
    return ok_status();
  };
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("abc"));
  read_all(speech.pcm);
  // The last step draws the stop id; then nothing is left to step, and the flush waits for nobody.
  EXPECT_EQ(pushes, (std::vector<Push>{{7, true}, {14, true}, {21, true}, {22, false}}));
}

/// The most that any slice of each step may draw.
void record_draws(EngineRig& rig, std::vector<int>& most, std::function<void(int)> then = {}) {
  rig.fakes.language_model->on_step = [&most, then = std::move(then)](
                                          int step, std::span<const Slice> batch) {
    int largest = 0;
    for (const Slice& slice : batch) {
      // Who draws at all draws as much as the others.
      if (slice.most_tokens == 0) continue;
      EXPECT_TRUE(largest == 0 || largest == slice.most_tokens);
      largest = slice.most_tokens;
    }
    most.push_back(largest);
    if (then) then(step);
    return ok_status();
  };
}

TEST(EngineSeveral, AStepDrawsToTheEndOfAFrame) {
  EngineRig rig;
  set_up(rig, {"several", false, true});
  std::vector<int> most;
  record_draws(rig, most);
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("abc"));
  EXPECT_EQ(read_all(speech.pcm), spoken("abc", 1));
  EXPECT_EQ(most, (std::vector<int>{7, 7, 7, 7}));  // the last finds the stop id
}

TEST(EngineSeveral, AModelThatDrawsOneIsAskedForOne) {
  EngineRig rig;
  std::vector<int> most;
  record_draws(rig, most);
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("a"));
  EXPECT_EQ(read_all(speech.pcm), spoken("a", 1));
  EXPECT_EQ(most, std::vector<int>(8, 1));
}

TEST(EngineSeveral, NoMoreThanMaxTokens) {
  EngineRig rig;
  set_up(rig, {"several", false, true});
  std::vector<int> most;
  record_draws(rig, most);
  Engine& engine = rig.start();
  SynthesisRequest request = request_of("abcdef");
  request.max_tokens = 17;
  Speech speech = submit(engine, request);
  EXPECT_EQ(read_all(speech.pcm).size(), size_t{2} * FakeCodec::kFrameSamples);
  EXPECT_EQ(speech.pcm.summary().generated_tokens, 17);
  EXPECT_EQ(most, (std::vector<int>{7, 7, 3}));
}

TEST(EngineSeveral, NoFrameWaitsForAnotherAndNoPromptForAFrame) {
  EngineRig rig({.max_sequences = 2, .kv_tokens = 4000, .max_batch_tokens = 8});
  set_up(rig, {"several", false, true});
  test::Gate gate;
  std::vector<int> most;
  record_draws(rig, most, [&](int step) {
    if (step == 0) gate.pass();
  });
  Engine& engine = rig.start();
  Speech first = submit(engine, request_of("abcdef", 1));
  gate.wait_until_reached();
  const std::string text = "twenty letters of it";
  Speech second = submit(engine, request_of(text, 2));
  gate.open();
  EXPECT_EQ(read_all(first.pcm), spoken("abcdef", 1));
  EXPECT_EQ(read_all(second.pcm), spoken(text, 2));
  // The second prompt comes in three parts, and with the last of them its first ids; from there on
  // the two complete their frames in turns.
  ASSERT_GT(most.size(), 8u);
  most.resize(8);
  EXPECT_EQ(most, (std::vector<int>{7, 1, 1, 5, 2, 5, 2, 5}));
}

TEST(EngineSeveral, OneWhileSomebodyWaitsForAPlace) {
  EngineRig rig({.max_sequences = 1, .kv_tokens = 1008});
  set_up(rig, {"several", false, true});
  test::Gate gate;
  std::vector<int> most;
  record_draws(rig, most, [&](int step) {
    if (step == 0) gate.pass();
  });
  Engine& engine = rig.start();
  Speech running = submit(engine, request_of("abc"));
  gate.wait_until_reached();
  Speech waiting = submit(engine, request_of("ab"));
  gate.open();
  EXPECT_EQ(read_all(running.pcm), spoken("abc", 1));
  EXPECT_EQ(read_all(waiting.pcm), spoken("ab", 1));
  std::vector<int> expected = {7};
  expected.insert(expected.end(), 2 * 7 + 1, 1);
  expected.insert(expected.end(), {7, 7, 7});
  EXPECT_EQ(most, expected);
}

// A segment that is begun early and finds no place is nobody who waits.
TEST(EngineSeveral, ASegmentBegunEarlyDoesNotCount) {
  EngineRig rig({.max_sequences = 1, .kv_tokens = 1008});
  set_up(rig, {"several", false, true});
  set_up_long_text(rig);
  std::vector<int> most;
  record_draws(rig, most);
  Engine& engine = rig.start();
  Speech speech = submit(engine, kLongRequest);
  EXPECT_EQ(read_all(speech.pcm), spoken_segments(kLongSegments, 1));
  EXPECT_EQ(std::count(most.begin(), most.end(), 1), 0);
}

}  // namespace
}  // namespace lyre
