// Cancellation, failing models, and the end of the engine. Each test runs under the thread
// sanitizer too.

#include <optional>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "engine/engine_rig.h"

namespace lyre {
namespace {

using test::EngineRig;
using test::read_all;
using test::request_of;
using test::spoken;
using test::submit;
using State = PcmSource::State;

void set_up_long_text(EngineRig& rig) {
  rig.config.segment_characters = 20;
  rig.fakes.parts.lookahead.after = std::chrono::milliseconds(0);
  rig.fakes.parts.lookahead.lead_below = std::chrono::hours(1);
}
const SynthesisRequest kLongRequest = request_of("One two three four. Five six seven.");

/// The reader goes away during step `at`; false once the speech has fewer steps than that.
bool cancel_during_step(int at) {
  SCOPED_TRACE("step " + std::to_string(at));
  EngineRig rig({.max_sequences = 2, .kv_tokens = 4000, .max_batch_tokens = 8});
  set_up_long_text(rig);
  std::optional<Speech> speech;
  std::mutex speech_is_there;
  bool cancelled = false;
  std::vector<int> steps_after;
  rig.fakes.language_model->on_step = [&](int step, std::span<const Slice>) {
    if (cancelled) steps_after.push_back(step);
    if (step != at) return ok_status();
    const std::lock_guard lock(speech_is_there);
    speech.reset();
    cancelled = true;
    return ok_status();
  };
  Engine& engine = rig.start();
  {
    const std::lock_guard lock(speech_is_there);
    speech.emplace(submit(engine, kLongRequest));
  }
  // drain() returns when nothing is held any more.
  EXPECT_TRUE(engine.drain());
  EXPECT_EQ(steps_after, std::vector<int>{}) << "stepped after the reader had gone";
  EXPECT_TRUE(rig.all_free());
  EXPECT_EQ(engine.stats().requests_cancelled, cancelled ? 1 : 0);
  EXPECT_EQ(engine.stats().requests_finished, cancelled ? 0 : 1);
  return cancelled;
}

TEST(EngineCancellation, AtEveryStepFreesEverythingWithinThatStep) {
  int at = 0;
  while (cancel_during_step(at)) ++at;
  // Two prompts by chunks of 8, one id a step, with overlap.
  EXPECT_GT(at, 18 * 7);
}

bool cancel_during_push(int at) {
  SCOPED_TRACE("push " + std::to_string(at));
  EngineRig rig({.max_sequences = 2, .kv_tokens = 4000});
  set_up_long_text(rig);
  std::optional<Speech> speech;
  std::mutex speech_is_there;
  bool cancelled = false;
  rig.fakes.codec->on_push = [&](int push, std::span<const CodecWork>) {
    if (push != at) return ok_status();
    const std::lock_guard lock(speech_is_there);
    speech.reset();
    cancelled = true;
    return ok_status();
  };
  Engine& engine = rig.start();
  {
    const std::lock_guard lock(speech_is_there);
    speech.emplace(submit(engine, kLongRequest));
  }
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
  return cancelled;
}

TEST(EngineCancellation, AtEveryPushFreesEverything) {
  int at = 0;
  while (cancel_during_push(at)) ++at;
  EXPECT_GT(at, 30);
}

TEST(EngineCancellation, WhileItWaitsForASequence) {
  EngineRig rig({.max_sequences = 1, .kv_tokens = 1008});
  test::Gate gate;
  rig.fakes.language_model->on_step = [&](int, std::span<const Slice>) {
    gate.pass();
    return ok_status();
  };
  Engine& engine = rig.start();
  Speech running = submit(engine, request_of("running"));
  { const Speech waiting = submit(engine, request_of("waiting")); }
  gate.open();
  EXPECT_EQ(read_all(running.pcm), spoken("running", 1));
  EXPECT_TRUE(engine.drain());
  EXPECT_EQ(engine.stats().requests_cancelled, 1);
  EXPECT_EQ(rig.fakes.language_model->opened(), 1);
}

TEST(EngineCancellation, WhileItIsPaused) {
  EngineRig rig;
  rig.config.buffer_seconds = 0;
  Engine& engine = rig.start();
  {
    Speech paused = submit(engine, request_of(std::string(80, 'x')));
    ASSERT_TRUE(paused.pcm.wait_readable());
  }
  EXPECT_TRUE(engine.drain());
  EXPECT_EQ(engine.stats().requests_cancelled, 1);
  EXPECT_TRUE(rig.all_free());
}

TEST(EngineCancellation, LeavesTheOthersAlone) {
  EngineRig rig;
  Engine& engine = rig.start();
  std::vector<Speech> speeches;
  for (uint64_t i = 0; i < 8; ++i) {
    speeches.push_back(submit(engine, request_of("a sentence of some length", i)));
  }
  for (uint64_t i = 0; i < 8; i += 2) speeches[i] = Speech{};
  for (uint64_t i = 1; i < 8; i += 2) {
    EXPECT_EQ(read_all(speeches[i].pcm), spoken("a sentence of some length", i));
  }
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
}

/// Fails the n-th call of one hook with this error; false once there is no such call.
enum class Call { kStep, kPush, kOpenSequence, kOpenStream };

bool fail_call(Call call, int at) {
  SCOPED_TRACE("call " + std::to_string(at));
  EngineRig rig;
  set_up_long_text(rig);
  int calls = 0;
  const auto hook = [&]() -> Status {
    if (calls++ != at) return ok_status();
    return Error{ErrorCode::kInternal, "injected"};
  };
  switch (call) {
    case Call::kStep:
      rig.fakes.language_model->on_step = [&](int, std::span<const Slice>) { return hook(); };
      break;
    case Call::kPush:
      rig.fakes.codec->on_push = [&](int, std::span<const CodecWork>) { return hook(); };
      break;
    case Call::kOpenSequence:
      rig.fakes.language_model->on_open = hook;
      break;
    case Call::kOpenStream:
      rig.fakes.codec->on_open = hook;
      break;
  }
  Engine& engine = rig.start();
  Speech speech = submit(engine, kLongRequest);
  read_all(speech.pcm);
  const bool failed = speech.pcm.state() == State::kFailed;
  if (failed) {
    EXPECT_EQ(speech.pcm.error().code, ErrorCode::kInternal);
    EXPECT_EQ(speech.pcm.error().message, "injected");
    EXPECT_EQ(engine.stats().requests_failed, 1);
    // A bad request never takes down a good one: the engine speaks on.
    EXPECT_TRUE(engine.health());
    Speech next = submit(engine, request_of("next"));
    EXPECT_EQ(read_all(next.pcm), spoken("next", 1));
  }
  EXPECT_TRUE(rig.all_free());
  return failed;
}

TEST(EngineFailures, OfEveryStepEndTheRequestAndFreeEverything) {
  int at = 0;
  while (fail_call(Call::kStep, at)) ++at;
  EXPECT_GT(at, 18 * 7);
}

TEST(EngineFailures, OfEveryPushEndTheRequestAndFreeEverything) {
  int at = 0;
  while (fail_call(Call::kPush, at)) ++at;
  EXPECT_GT(at, 30);
}

TEST(EngineFailures, OfOpeningASequenceOrAStream) {
  for (const Call call : {Call::kOpenSequence, Call::kOpenStream}) {
    int at = 0;
    while (fail_call(call, at)) ++at;
    EXPECT_EQ(at, 2);  // one for each segment
  }
}

TEST(EngineFailures, OnlyTheRequestsOfTheStepFail) {
  EngineRig rig({.max_sequences = 1, .kv_tokens = 1008});
  rig.fakes.language_model->on_step = [](int step, std::span<const Slice>) -> Status {
    if (step != 3) return ok_status();
    return Error{ErrorCode::kInternal, "injected"};
  };
  Engine& engine = rig.start();
  Speech first = submit(engine, request_of("first"));
  Speech second = submit(engine, request_of("second"));
  read_all(first.pcm);
  EXPECT_EQ(first.pcm.state(), State::kFailed);
  EXPECT_EQ(read_all(second.pcm), spoken("second", 1));
}

TEST(EngineFailures, ALostDeviceFailsEverybodyAndLetsNobodyIn) {
  EngineRig rig({.max_sequences = 1, .kv_tokens = 1008});
  test::Gate gate;
  rig.fakes.language_model->on_step = [&](int, std::span<const Slice>) -> Status {
    gate.pass();
    return Error{ErrorCode::kDeviceLost, "the device fell off the bus"};
  };
  Engine& engine = rig.start();
  Speech running = submit(engine, request_of("running"));
  Speech waiting = submit(engine, request_of("waiting"));
  gate.open();
  for (Speech* speech : {&running, &waiting}) {
    read_all(speech->pcm);
    ASSERT_EQ(speech->pcm.state(), State::kFailed);
    EXPECT_EQ(speech->pcm.error().code, ErrorCode::kDeviceLost);
  }
  EXPECT_FALSE(engine.health());
  const auto refused = engine.submit(request_of("too late"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kDeviceLost);
  EXPECT_TRUE(engine.drain());
}

TEST(EngineEnd, WhatRunsEndsAsUnavailable) {
  EngineRig rig({.max_sequences = 1, .kv_tokens = 1008});
  rig.config.buffer_seconds = 0;
  Engine& engine = rig.start();
  Speech running = submit(engine, request_of(std::string(80, 'x')));
  Speech waiting = submit(engine, request_of("waiting"));
  ASSERT_TRUE(running.pcm.wait_readable());
  rig.engine.reset();  // the doubles check that nothing is left open
  for (Speech* speech : {&running, &waiting}) {
    read_all(speech->pcm);  // what was made can still be read
    ASSERT_EQ(speech->pcm.state(), State::kFailed);
    EXPECT_EQ(speech->pcm.error().code, ErrorCode::kUnavailable);
  }
}

TEST(EngineEnd, ReadersMayOutliveTheEngine) {
  Speech speech;
  {
    EngineRig rig;
    speech = submit(rig.start(), request_of("Hello."));
    ASSERT_TRUE(rig.engine->drain());
  }
  EXPECT_EQ(read_all(speech.pcm), spoken("Hello.", 1));
}

TEST(EngineEnd, DrainingLetsTheAcceptedFinishAndRefusesTheRest) {
  EngineRig rig;
  test::Gate gate;
  rig.fakes.language_model->on_step = [&](int, std::span<const Slice>) {
    gate.pass();
    return ok_status();
  };
  Engine& engine = rig.start();
  Speech speech = submit(engine, request_of("Hello."));
  EXPECT_FALSE(engine.drain(std::chrono::milliseconds(0)));
  const auto refused = engine.submit(request_of("too late"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  gate.open();
  EXPECT_TRUE(engine.drain());
  EXPECT_EQ(read_all(speech.pcm), spoken("Hello.", 1));
}

TEST(EngineThreads, ManyMaySubmitReadAndCancelAtTheSameTime) {
  EngineRig rig({.max_sequences = 4, .kv_tokens = 4000});
  rig.config.max_queue = 1000;
  rig.config.buffer_seconds = 0.05;
  set_up_long_text(rig);
  Engine& engine = rig.start();
  const std::string text = "short text";
  std::vector<std::thread> clients;
  for (uint32_t client = 0; client < 6; ++client) {
    clients.emplace_back([&engine, &text, client] {
      std::mt19937 random(client);
      for (uint64_t i = 0; i < 15; ++i) {
        if (random() % 3 == 0) {
          Speech cancelled = submit(engine, kLongRequest);
          if (random() % 2 == 0) static_cast<void>(cancelled.pcm.wait_readable());
          continue;
        }
        Speech speech = submit(engine, request_of(text, i));
        ASSERT_EQ(read_all(speech.pcm), spoken(text, i));
        static_cast<void>(engine.stats());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(engine.drain());
  EXPECT_TRUE(rig.all_free());
  const EngineStats stats = engine.stats();
  EXPECT_EQ(stats.requests_submitted, 90);
  EXPECT_EQ(stats.requests_finished + stats.requests_cancelled, 90);
}

}  // namespace
}  // namespace lyre
