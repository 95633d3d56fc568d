#include "lyre/server/readiness.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace lyre::server {
namespace {

using Phase = Readiness::Phase;

WarmupStepReport step(const char* name, WarmupStepReport::Outcome outcome = {}) {
  WarmupStepReport report;
  report.name = name;
  report.outcome = outcome;
  return report;
}

WarmupResult result(bool warm) {
  WarmupResult result;
  result.report.steps = {step("a"), step("b")};
  result.report.warm = warm;
  return result;
}

TEST(Readiness, GoesThroughItsPhases) {
  Readiness readiness(ReadyWhen::kWarm, 1);
  EXPECT_EQ(readiness.snapshot().phase, Phase::kLoading);
  EXPECT_FALSE(readiness.admits());
  EXPECT_FALSE(readiness.snapshot().ready_ms.has_value());

  readiness.begin_warmup();
  readiness.add_step(step("a"));
  Readiness::Snapshot now = readiness.snapshot();
  EXPECT_EQ(now.phase, Phase::kWarming);
  EXPECT_TRUE(now.warming);
  EXPECT_FALSE(now.admits);
  EXPECT_FALSE(now.warm());
  ASSERT_EQ(now.steps.size(), 1u);
  EXPECT_EQ(now.steps[0].name, "a");

  readiness.end_warmup(result(true));
  now = readiness.snapshot();
  EXPECT_EQ(now.phase, Phase::kReady);
  EXPECT_TRUE(now.admits);
  EXPECT_TRUE(now.warm());
  EXPECT_FALSE(now.warming);
  EXPECT_EQ(now.steps.size(), 2u);
  EXPECT_EQ(now.warmup_runs, 1);
  ASSERT_TRUE(now.ready_ms.has_value());
  EXPECT_GT(*now.ready_ms, 0);

  readiness.begin_stop();
  EXPECT_EQ(readiness.snapshot().phase, Phase::kStopping);
  EXPECT_FALSE(readiness.admits());
}

TEST(Readiness, LoadedMayBeEnough) {
  Readiness readiness(ReadyWhen::kLoaded, 1);
  EXPECT_FALSE(readiness.admits());
  readiness.begin_warmup();
  EXPECT_TRUE(readiness.admits());
  EXPECT_TRUE(readiness.snapshot().warming);
  EXPECT_TRUE(readiness.snapshot().ready_ms.has_value());
}

TEST(Readiness, WithoutAWarmUpItIsReadyAndNotWarm) {
  Readiness readiness(ReadyWhen::kWarm, 1);
  readiness.skip_warmup();
  EXPECT_TRUE(readiness.admits());
  EXPECT_FALSE(readiness.snapshot().warm());
}

TEST(Readiness, AFailedWarmUpIsReadyAndNotWarm) {
  Readiness readiness(ReadyWhen::kWarm, 1);
  readiness.begin_warmup();
  readiness.end_warmup(result(false));
  EXPECT_TRUE(readiness.admits());
  EXPECT_FALSE(readiness.snapshot().warm());
}

TEST(Readiness, ALaterWarmUpLeavesItReady) {
  Readiness readiness(ReadyWhen::kWarm, 1);
  readiness.begin_warmup();
  readiness.end_warmup(result(false));
  const auto ready_ms = readiness.snapshot().ready_ms;
  readiness.begin_warmup();
  const Readiness::Snapshot now = readiness.snapshot();
  EXPECT_EQ(now.phase, Phase::kReady);
  EXPECT_TRUE(now.admits);
  EXPECT_TRUE(now.warming);
  EXPECT_TRUE(now.steps.empty());
  EXPECT_EQ(now.ready_ms, ready_ms);
  readiness.end_warmup(result(true));
  EXPECT_TRUE(readiness.snapshot().warm());
  EXPECT_EQ(readiness.snapshot().warmup_runs, 2);
}

TEST(Readiness, NothingUndoesTheStop) {
  Readiness readiness(ReadyWhen::kLoaded, 1);
  readiness.begin_stop();
  readiness.begin_warmup();
  readiness.end_warmup(result(true));
  readiness.skip_warmup();
  EXPECT_EQ(readiness.snapshot().phase, Phase::kStopping);
  EXPECT_FALSE(readiness.admits());
  EXPECT_FALSE(readiness.snapshot().ready_ms.has_value());
}

TEST(Readiness, WakesThoseWhoWaitWhenItAdmits) {
  Readiness readiness(ReadyWhen::kWarm, 2);
  int first = 0, second = 0;
  const auto a = readiness.wait([&] { ++first; });
  const auto b = readiness.wait([&] { ++second; });
  readiness.begin_warmup();
  EXPECT_EQ(first, 0);
  readiness.end_warmup(result(true));
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 1);
}

TEST(Readiness, WakesThoseWhoWaitWhenTheStopBegins) {
  Readiness readiness(ReadyWhen::kWarm, 1);
  int woken = 0;
  const auto place = readiness.wait([&] { ++woken; });
  readiness.begin_stop();
  EXPECT_EQ(woken, 1);
}

TEST(Readiness, WakesAtOnceIfThereIsNothingToWaitFor) {
  for (const bool stops : {false, true}) {
    Readiness readiness(ReadyWhen::kWarm, 0);
    stops ? readiness.begin_stop() : readiness.skip_warmup();
    int woken = 0;
    EXPECT_TRUE(readiness.wait([&] { ++woken; }).has_value());
    EXPECT_EQ(woken, 1);
  }
}

TEST(Readiness, PlacesAreBoundedAndComeBack) {
  Readiness readiness(ReadyWhen::kWarm, 2);
  int woken = 0;
  const auto kept = readiness.wait([&] { ++woken; });
  {
    auto left = readiness.wait([&] { ++woken; });
    EXPECT_TRUE(left.has_value());
    EXPECT_EQ(readiness.snapshot().waiting, 2u);
    EXPECT_FALSE(readiness.wait([] {}).has_value());
  }
  const auto again = readiness.wait([&] { ++woken; });
  EXPECT_TRUE(again.has_value());
  readiness.skip_warmup();
  EXPECT_EQ(woken, 2);  // not the one that gave its place up
}

TEST(Readiness, ManyMayWaitAndLeaveAtTheSameTime) {
  Readiness readiness(ReadyWhen::kWarm, 8);
  std::atomic<int> places{0}, woken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!readiness.admits()) {
        if (readiness.wait([&] { ++woken; })) ++places;
        readiness.snapshot();
      }
    });
  }
  readiness.begin_warmup();
  for (int i = 0; i < 100; ++i) readiness.add_step(step("a"));
  while (places < 100) std::this_thread::yield();
  readiness.end_warmup(result(true));
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(woken, places);
  EXPECT_EQ(readiness.snapshot().steps.size(), 2u);
}

TEST(Readiness, PhasesHaveNames) {
  EXPECT_STREQ(phase_name(Phase::kLoading), "loading");
  EXPECT_STREQ(phase_name(Phase::kWarming), "warming");
  EXPECT_STREQ(phase_name(Phase::kReady), "ready");
  EXPECT_STREQ(phase_name(Phase::kStopping), "stopping");
}

}  // namespace
}  // namespace lyre::server
