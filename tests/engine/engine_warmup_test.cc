#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <set>
#include <string>
#include <thread>

#include "engine/engine_rig.h"
#include "engine/voice_rig.h"
#include "support/expect_error.h"

namespace lyre {
namespace {

using Outcome = WarmupStepReport::Outcome;
using test::Gate;

/// A text that the doubles speak for a while.
constexpr const char* kText = "A sentence of some length.";

/// Failed steps of a report, by name.
std::vector<std::string> failed(const WarmupReport& report) {
  std::vector<std::string> names;
  for (const WarmupStepReport& step : report.steps) {
    if (step.outcome == Outcome::kFailed) names.push_back(step.name);
  }
  return names;
}

std::vector<std::string> names_of(const WarmupReport& report) {
  std::vector<std::string> names;
  for (const WarmupStepReport& step : report.steps) names.push_back(step.name);
  return names;
}

TEST(EngineWarmup, RunsEveryShapeAndGivesEverythingBack) {
  test::EngineRig rig;
  Engine& engine = rig.start();
  EXPECT_FALSE(engine.last_warmup());
  const WarmupReport report = engine.warmup_models();
  EXPECT_TRUE(report.warm) << testing::PrintToString(failed(report));
  for (const char* name :
       {"lm.prefill.8", "lm.prefill.64", "lm.frame", "lm.decode.2", "lm.decode.8", "lm.sampler",
        "codec.first_frame", "codec.steady_frames", "codec.preview", "codec.batch.8", "text.short",
        "text.long", "audio.channels", "engine.synthesis"}) {
    const WarmupStepReport* step = report.find(name);
    ASSERT_NE(step, nullptr) << name;
    EXPECT_EQ(step->outcome, Outcome::kOk) << name << ": " << step->error;
  }
  EXPECT_EQ(rig.fakes.language_model->largest_batch(), 8);
  EXPECT_EQ(rig.fakes.codec->largest_batch(), 8);
  EXPECT_TRUE(report.first_request_ms.has_value());
  EXPECT_TRUE(rig.all_free());
  ASSERT_TRUE(engine.last_warmup());
  EXPECT_EQ(names_of(*engine.last_warmup()), names_of(report));
}

TEST(EngineWarmup, ABackendThatServesEverySizeAlikeRunsFewOfThem) {
  test::EngineRig rig;
  rig.fakes.language_model->info_for_test().every_shape_pays = false;
  rig.fakes.codec->info_for_test().every_shape_pays = false;
  const WarmupReport report = rig.start().warmup_models();
  EXPECT_TRUE(report.warm) << testing::PrintToString(failed(report));
  EXPECT_EQ(report.find("lm.prefill.64"), nullptr);
  EXPECT_EQ(report.find("lm.decode.4"), nullptr);
  for (const char* name : {"lm.prefill.16", "lm.frame", "lm.decode.2", "lm.decode.8",
                           "codec.batch.2", "codec.batch.8"}) {
    EXPECT_NE(report.find(name), nullptr) << name;
  }
}

TEST(EngineWarmup, EveryBorderBetweenSizesIsRunAfterTheBackendsOwnSteps) {
  test::EngineRig rig({.max_sequences = 200, .kv_tokens = 200'000, .max_batch_tokens = 400});
  rig.config.max_batch = 200;
  const WarmupReport report = rig.start().warmup_models();
  EXPECT_TRUE(report.warm) << testing::PrintToString(failed(report));
  for (const char* size : {"2", "4", "8", "16", "32", "64", "96", "128", "192", "200"}) {
    EXPECT_NE(report.find("lm.decode." + std::string(size)), nullptr) << size;
    EXPECT_NE(report.find("codec.batch." + std::string(size)), nullptr) << size;
  }
  EXPECT_EQ(rig.fakes.language_model->largest_batch(), 200);
  EXPECT_EQ(rig.fakes.codec->largest_batch(), 200);
}

TEST(EngineWarmup, TheBackendsOwnStepsComeBeforeTheShapes) {
  test::EngineRig rig;
  const auto own = [](const char* name) {
    return std::vector<WarmupStep>{
        {.name = name, .lane = WarmupLane::kModels, .run = []() -> Result<WarmupStep::Progress> {
           return WarmupStep::Progress::kDone;
         }}};
  };
  rig.fakes.language_model->own_warmup_steps = own("lm.graph.8");
  rig.fakes.codec->own_warmup_steps = own("codec.graph.8");
  const std::vector<std::string> names = names_of(rig.start().warmup_models());
  const auto place = [&](const char* name) {
    return std::find(names.begin(), names.end(), name) - names.begin();
  };
  EXPECT_LT(place("lm.graph.8"), place("lm.prefill.8"));
  EXPECT_LT(place("codec.graph.8"), place("codec.first_frame"));
  EXPECT_LT(place("lm.sampler"), static_cast<std::ptrdiff_t>(names.size()));
}

TEST(EngineWarmup, WhereAStepDrawsSeveralEveryNumberIsRun) {
  test::EngineRig rig;
  rig.fakes.language_model->info_for_test().draws_several = true;
  std::set<std::pair<size_t, int>> drawn;  // sequences, tokens
  rig.fakes.language_model->on_step = [&](int, std::span<const Slice> batch) {
    drawn.emplace(batch.size(), batch[0].most_tokens);
    return ok_status();
  };
  Engine& engine = rig.start();
  const WarmupReport report = engine.warmup_models();
  EXPECT_TRUE(report.warm) << testing::PrintToString(failed(report));
  for (const size_t sequences : {1u, 2u, 4u, 8u}) {
    EXPECT_NE(report.find("lm.several." + std::to_string(sequences)), nullptr);
  }
  // The doubles speak one frame for an id of the prompt, and the prompt has one.
  for (const size_t sequences : {1u, 2u, 4u, 8u}) {
    EXPECT_TRUE(drawn.contains({sequences, 7})) << sequences;
  }
  EXPECT_TRUE(rig.all_free());
}

TEST(EngineWarmup, IsNotCountedAsSpeech) {
  test::EngineRig rig;
  Engine& engine = rig.start();
  EXPECT_TRUE(engine.warmup_models().warm);
  const EngineStats stats = engine.stats();
  EXPECT_EQ(stats.requests_submitted, 0);
  EXPECT_EQ(stats.requests_finished, 0);
  EXPECT_EQ(stats.requests_cut, 0);
  EXPECT_EQ(stats.tokens, 0);
  EXPECT_EQ(stats.frames, 0);
}

TEST(EngineWarmup, MayBeRepeatedAndChangesNoSample) {
  test::EngineRig rig;
  Engine& engine = rig.start();
  Speech cold = test::submit(engine, test::request_of(kText, 7));
  const std::vector<float> before = test::read_all(cold.pcm);
  EXPECT_EQ(before, test::spoken(kText, 7));
  for (int run = 0; run < 3; ++run) {
    const WarmupReport report = engine.warmup_models();
    EXPECT_TRUE(report.warm) << testing::PrintToString(failed(report));
    Speech warm = test::submit(engine, test::request_of(kText, 7));
    EXPECT_EQ(test::read_all(warm.pcm), before) << run;
  }
  EXPECT_TRUE(rig.all_free());
}

TEST(EngineWarmup, RequestsRunOnMeanwhile) {
  test::EngineRig rig;
  Engine& engine = rig.start();
  std::atomic<bool> stop{false};
  std::thread warming([&] {
    while (!stop) engine.warmup_models();
  });
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Speech speech = test::submit(engine, test::request_of(kText, seed));
    ASSERT_EQ(test::read_all(speech.pcm), test::spoken(kText, seed)) << seed;
  }
  stop = true;
  warming.join();
  EXPECT_EQ(engine.stats().requests_finished, 40);
  EXPECT_TRUE(rig.all_free());
}

TEST(EngineWarmup, StepsWithoutRoomBesideRequestsAreSkipped) {
  test::EngineRig rig(test::FakeLanguageModel::Limits{.max_sequences = 2, .kv_tokens = 4000});
  rig.config.buffer_seconds = 0;  // the channel is soon full: the requests hold their sequences
  Engine& engine = rig.start();
  const std::string text(60, 'x');
  std::vector<Speech> held;
  for (const uint64_t seed : {1u, 2u})
    held.push_back(test::submit(engine, test::request_of(text, seed)));
  for (Speech& speech : held) ASSERT_TRUE(speech.pcm.wait_readable());
  const WarmupReport report = engine.warmup_models();
  EXPECT_EQ(report.find("lm.frame")->outcome, Outcome::kSkipped);
  EXPECT_EQ(report.find("codec.first_frame")->outcome, Outcome::kSkipped);
  EXPECT_TRUE(failed(report).empty()) << testing::PrintToString(failed(report));
  for (size_t i = 0; i < held.size(); ++i) {
    EXPECT_EQ(test::read_all(held[i].pcm), test::spoken(text, i + 1));
  }
}

TEST(EngineWarmup, ATextThatTheLimitsForbidIsSkipped) {
  test::EngineRig rig;
  rig.config.max_sequence_tokens = 64;  // prompts of 32 at most
  rig.config.max_text_bytes = 64;
  const WarmupReport report = rig.start().warmup_models();
  EXPECT_EQ(report.find("text.long")->outcome, Outcome::kSkipped);
  EXPECT_NE(report.find("text.long")->error.find("at most"), std::string::npos);
  EXPECT_EQ(report.find("text.short")->outcome, Outcome::kOk);
  EXPECT_TRUE(report.warm) << testing::PrintToString(failed(report));
}

/// Whether a call that is made while another is held up joins it. It cannot be seen waiting: if it
/// comes too late it runs by itself.
bool second_call_joins(std::chrono::milliseconds head_start) {
  test::EngineRig rig;
  Gate gate;
  rig.fakes.codec->on_push = [&](int number, auto) -> Status {
    if (number == 0) gate.pass();
    return ok_status();
  };
  Engine& engine = rig.start();
  WarmupReport first, second;
  std::thread one([&] { first = engine.warmup_models(); });
  gate.wait_until_reached();
  std::atomic<bool> ran_by_itself{false};
  std::thread two([&] {
    WarmupOptions options;
    options.further_steps.push_back(
        {.name = "mine", .lane = WarmupLane::kWhole, .run = [&]() -> Result<WarmupStep::Progress> {
           ran_by_itself = true;
           return WarmupStep::Progress::kDone;
         }});
    second = engine.warmup_models(options);
  });
  std::this_thread::sleep_for(head_start);
  gate.open();
  one.join();
  two.join();
  if (ran_by_itself) return false;
  EXPECT_EQ(names_of(first), names_of(second));
  EXPECT_EQ(second.find("mine"), nullptr);
  return true;
}

TEST(EngineWarmup, ACallDuringAWarmupJoinsIt) {
  std::chrono::milliseconds head_start(5);
  while (head_start < std::chrono::minutes(1) && !second_call_joins(head_start)) head_start *= 2;
  EXPECT_LT(head_start, std::chrono::minutes(1)) << "no call was ever joined";
}

TEST(EngineWarmup, FurtherStepsRunAndFailAlone) {
  test::EngineRig rig;
  Engine& engine = rig.start();
  WarmupOptions options;
  options.further_steps.push_back(
      {.name = "server.good",
       .lane = WarmupLane::kWhole,
       .run = []() -> Result<WarmupStep::Progress> { return WarmupStep::Progress::kDone; }});
  options.further_steps.push_back(
      {.name = "server.bad",
       .lane = WarmupLane::kBeside,
       .run = []() -> Result<WarmupStep::Progress> { throw std::bad_alloc(); }});
  const WarmupReport report = engine.warmup_models(options);
  EXPECT_EQ(report.find("server.good")->outcome, Outcome::kOk);
  EXPECT_EQ(failed(report), std::vector<std::string>{"server.bad"});
  EXPECT_FALSE(report.warm);
  EXPECT_EQ(report.find("engine.synthesis")->outcome, Outcome::kOk);
}

TEST(EngineWarmup, EveryStepMayFailAndTheEngineSpeaksAllTheSame) {
  std::vector<std::string> names;
  {
    test::EngineRig rig;
    names = names_of(rig.start().warmup_models());
  }
  ASSERT_GT(names.size(), 10u);
  std::vector<std::string> faults;
  for (const char* kind : {"error", "throw", "alloc"}) {
    for (const std::string& name : names) faults.push_back(name + "=" + kind);
    faults.push_back(std::string("*=") + kind);
  }
  for (const std::string& fault : faults) {
    SCOPED_TRACE(fault);
    test::EngineRig rig;
    rig.config.warmup_faults = fault;
    rig.config.buffer_seconds = 1;
    Engine& engine = rig.start();
    const WarmupReport report = engine.warmup_models();
    EXPECT_FALSE(report.warm);
    if (fault.starts_with('*')) {
      EXPECT_EQ(failed(report).size(), names.size());
    } else {
      EXPECT_EQ(failed(report), std::vector<std::string>{fault.substr(0, fault.find('='))});
    }
    Speech speech = test::submit(engine, test::request_of(kText, 3));
    EXPECT_EQ(test::read_all(speech.pcm), test::spoken(kText, 3));
    EXPECT_TRUE(rig.all_free());
  }
}

TEST(EngineWarmup, AModelThatFailsOrThrowsInAStepGivesEverythingBack) {
  test::EngineRig rig;
  std::atomic<bool> broken{true};
  rig.fakes.language_model->on_step = [&](int, auto) -> Status {
    if (broken) throw std::bad_alloc();
    return ok_status();
  };
  rig.fakes.codec->on_push = [&](int, auto) -> Status {
    if (broken) return Error{ErrorCode::kInternal, "broken codec"};
    return ok_status();
  };
  Engine& engine = rig.start();
  WarmupOptions codec_only;
  codec_only.language_model = false;
  EXPECT_FALSE(engine.warmup_models(codec_only).warm);
  EXPECT_TRUE(rig.all_free());
  EXPECT_EQ(engine.last_warmup()->find("codec.first_frame")->error, "broken codec");
  WarmupOptions language_model_only;
  language_model_only.codec = false;
  const WarmupReport report = engine.warmup_models(language_model_only);
  EXPECT_EQ(report.find("lm.frame")->error, "out of memory");
  EXPECT_TRUE(rig.all_free());
  broken = false;
  EXPECT_TRUE(engine.warmup_models().warm);
}

TEST(EngineWarmup, ALostDeviceIsToldAndNothingHangs) {
  test::EngineRig rig;
  rig.fakes.codec->on_push = [&](int, auto) -> Status {
    return Error{ErrorCode::kDeviceLost, "fell off the bus"};
  };
  Engine& engine = rig.start();
  const WarmupReport report = engine.warmup_models();
  EXPECT_FALSE(report.warm);
  EXPECT_EQ(report.find("codec.first_frame")->outcome, Outcome::kFailed);
  EXPECT_EQ(report.find("lm.frame")->outcome, Outcome::kFailed);
  EXPECT_TRUE(test::is_error(engine.health(), ErrorCode::kDeviceLost, {"bus"}));
  EXPECT_TRUE(test::is_error(engine.submit(test::request_of(kText)), ErrorCode::kDeviceLost, {}));
}

TEST(EngineWarmup, AThrowOutsideOfStepsEndsTheRunToo) {
  test::EngineRig rig;
  Engine& engine = rig.start();
  WarmupOptions options;
  options.on_step = [](const WarmupStepReport&) { throw std::bad_alloc(); };
  EXPECT_FALSE(engine.warmup_models(options).warm);
  EXPECT_TRUE(engine.warmup_models().warm);  // the next one is not held up
  EXPECT_TRUE(rig.all_free());
}

TEST(EngineWarmup, StopsBetweenSteps) {
  test::EngineRig rig;
  Engine& engine = rig.start();
  std::stop_source stop;
  WarmupOptions options;
  options.stop = stop.get_token();
  options.on_step = [&](const WarmupStepReport& step) {
    if (step.name == "codec.preview") stop.request_stop();
  };
  const WarmupReport report = engine.warmup_models(options);
  EXPECT_FALSE(report.warm);
  EXPECT_EQ(report.find("lm.frame")->outcome, Outcome::kSkipped);
  EXPECT_EQ(report.find("engine.synthesis")->outcome, Outcome::kSkipped);
}

TEST(EngineWarmup, OnADrainedEngineNothingFails) {
  test::EngineRig rig;
  Engine& engine = rig.start();
  EXPECT_TRUE(engine.drain());
  const WarmupReport report = engine.warmup_models();
  EXPECT_TRUE(failed(report).empty()) << testing::PrintToString(failed(report));
  EXPECT_EQ(report.find("engine.synthesis")->outcome, Outcome::kSkipped);
}

TEST(EngineWarmup, BadFaultsAndIntervalsAreRefused) {
  EngineConfig config;
  config.warmup_faults = "lm.frame";
  EXPECT_TRUE(test::is_error(validate(config), ErrorCode::kInvalidArgument, {"warmup_faults"}));
  config.warmup_faults = "";
  for (const double seconds : {-1.0, 1e6, std::numeric_limits<double>::quiet_NaN()}) {
    config.keep_warm_seconds = seconds;
    EXPECT_TRUE(
        test::is_error(validate(config), ErrorCode::kInvalidArgument, {"keep_warm_seconds"}));
  }
}

/// Waits for something that the engine thread does by itself.
template <class Condition>
void wait_until(Condition&& condition) {
  while (!condition()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(KeepWarm, RunsWhileNobodySpeaksAndChangesNoSample) {
  test::EngineRig rig;
  rig.config.keep_warm_seconds = 0.001;
  Engine& engine = rig.start();
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const int64_t runs = engine.stats().keep_warm_runs;
    wait_until([&] { return engine.stats().keep_warm_runs > runs + 1; });
    Speech speech = test::submit(engine, test::request_of(kText, seed));
    EXPECT_EQ(test::read_all(speech.pcm), test::spoken(kText, seed));
  }
  EXPECT_GT(engine.stats().keep_warm_seconds, 0);
  EXPECT_EQ(engine.stats().requests_finished, 5);
  EXPECT_EQ(engine.stats().tokens, 5 * 7 * static_cast<int64_t>(std::string(kText).size()) + 5);
}

TEST(KeepWarm, IsOffByDefault) {
  EXPECT_EQ(EngineConfig().keep_warm_seconds, 0);
  test::EngineRig rig;
  Engine& engine = rig.start();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(engine.stats().keep_warm_runs, 0);
  EXPECT_EQ(rig.fakes.language_model->steps(), 0);
}

TEST(KeepWarm, AFailureIsLeftToARealRequest) {
  test::EngineRig rig;
  rig.config.keep_warm_seconds = 0.001;
  std::atomic<bool> broken{true};
  rig.fakes.language_model->on_open = [&]() -> Status {
    if (broken) return Error{ErrorCode::kResourceExhausted, "nothing left"};
    return ok_status();
  };
  rig.fakes.codec->on_push = [&](int, auto) -> Status {
    if (broken) return Error{ErrorCode::kInternal, "broken"};
    return ok_status();
  };
  Engine& engine = rig.start();
  wait_until([&] { return engine.stats().keep_warm_runs > 2; });
  broken = false;
  Speech speech = test::submit(engine, test::request_of(kText, 4));
  EXPECT_EQ(test::read_all(speech.pcm), test::spoken(kText, 4));
}

/// The variable as given, and afterwards as it was not.
struct ScopedVariable {
  ScopedVariable(const char* n, const char* value) : name(n) { ::setenv(name, value, 1); }
  ~ScopedVariable() { ::unsetenv(name); }
  const char* name;
};

TEST(OpenedEngineWarmup, TheCodecIsWarmedAtOpenUnlessSwitchedOff) {
  ::unsetenv("ENABLE_SNAC_WARMUP");
  EngineConfig config = test::voice_config(test::tiny_voice());
  {
    const auto engine = test::open_engine(config);
    ASSERT_TRUE(engine && engine->last_warmup());
    EXPECT_NE(engine->last_warmup()->find("codec.first_frame"), nullptr);
    EXPECT_EQ(engine->last_warmup()->find("lm.frame"), nullptr);
    EXPECT_FALSE(engine->last_warmup()->warm);  // the language model is not
  }
  for (const char* off : {"false", "0", "No", "OFF"}) {
    const ScopedVariable variable("ENABLE_SNAC_WARMUP", off);
    const auto engine = test::open_engine(config);
    ASSERT_TRUE(engine);
    EXPECT_FALSE(engine->last_warmup()) << off;
    const WarmupReport report = engine->warmup_models();
    EXPECT_TRUE(report.warm) << testing::PrintToString(failed(report));
  }
  {
    const ScopedVariable variable("ENABLE_SNAC_WARMUP", "of course");
    EXPECT_TRUE(test::is_error(Engine::open(config), ErrorCode::kInvalidArgument,
                               {"ENABLE_SNAC_WARMUP", "'of course'"}));
    config.snac_warmup = false;  // the configuration does not ask the environment
    EXPECT_TRUE(test::open_engine(config));
  }
}

TEST(OpenedEngineWarmup, WarmAndColdSpeakTheSame) {
  EngineConfig config = test::voice_config(test::tiny_voice());
  config.snac_warmup = false;
  const auto cold = test::open_engine(config);
  const auto warm = test::open_engine(config);
  ASSERT_TRUE(cold && warm);
  const WarmupReport report = warm->warmup_models();
  EXPECT_TRUE(report.warm) << testing::PrintToString(failed(report));
  for (const uint64_t seed : {1u, 2u, 3u}) {
    SynthesisRequest request = test::request_of("The quick brown fox. And then?", seed);
    request.max_tokens = 140;
    Speech a = test::submit(*cold, request), b = test::submit(*warm, request);
    const std::vector<float> samples = test::read_all(a.pcm);
    EXPECT_EQ(samples, test::read_all(b.pcm)) << seed;
    EXPECT_FALSE(samples.empty());
  }
}

TEST(OpenedEngineWarmup, RealModelsWarmUpWhileTheySpeak) {
  const auto engine = test::open_engine(test::voice_config(test::tiny_voice()));
  ASSERT_TRUE(engine);
  SynthesisRequest request = test::request_of("The quick brown fox.", 5);
  request.max_tokens = 140;
  Speech alone = test::submit(*engine, request);
  const std::vector<float> samples = test::read_all(alone.pcm);
  std::vector<Speech> speeches;
  for (int i = 0; i < 3; ++i) speeches.push_back(test::submit(*engine, request));
  const WarmupReport report = engine->warmup_models();
  EXPECT_TRUE(failed(report).empty()) << testing::PrintToString(failed(report));
  for (Speech& speech : speeches) EXPECT_EQ(test::read_all(speech.pcm), samples);
}

}  // namespace
}  // namespace lyre
