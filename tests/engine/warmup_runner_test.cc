#include "lyre/engine/warmup_runner.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>

#include "support/sanitizers.h"

namespace lyre {
namespace {

using Outcome = WarmupStepReport::Outcome;
using Progress = WarmupStep::Progress;

Status at_once(const std::function<Status()>& work) { return work(); }

WarmupStep step(std::string name, std::function<Result<Progress>()> run,
                WarmupLane lane = WarmupLane::kModels) {
  return {.name = std::move(name), .lane = lane, .run = std::move(run)};
}

Result<Progress> done() { return Progress::kDone; }

TEST(WarmupRunner, NothingToDoIsWarm) {
  const WarmupReport report = run_warmup({}, {}, at_once);
  EXPECT_TRUE(report.warm);
  EXPECT_TRUE(report.steps.empty());
}

TEST(WarmupRunner, EveryStepFailsAlone) {
  std::vector<WarmupStep> steps;
  steps.push_back(step("good", done));
  steps.push_back(step("error", []() -> Result<Progress> {
    return Error{ErrorCode::kDataCorrupt, "rotten"};
  }));
  steps.push_back(step("memory", []() -> Result<Progress> { throw std::bad_alloc(); }));
  steps.push_back(step("exception", []() -> Result<Progress> { throw std::runtime_error("oh"); }));
  steps.push_back(step("whatever", []() -> Result<Progress> { throw 1; }));
  steps.push_back(step("good again", done));
  const WarmupReport report = run_warmup(std::move(steps), {}, at_once);
  ASSERT_EQ(report.steps.size(), 6u);
  EXPECT_FALSE(report.warm);
  EXPECT_EQ(report.find("good")->outcome, Outcome::kOk);
  EXPECT_EQ(report.find("good again")->outcome, Outcome::kOk);
  for (const char* name : {"error", "memory", "exception", "whatever"}) {
    EXPECT_EQ(report.find(name)->outcome, Outcome::kFailed) << name;
  }
  EXPECT_EQ(report.find("error")->error, "rotten");
  EXPECT_EQ(report.find("memory")->error, "out of memory");
  EXPECT_EQ(report.find("exception")->error, "oh");
  EXPECT_EQ(report.find("nobody"), nullptr);
}

TEST(WarmupRunner, WhatHasNoRoomIsSkippedAndLeavesNothingCold) {
  std::vector<WarmupStep> steps;
  steps.push_back(step("busy", []() -> Result<Progress> {
    return Error{ErrorCode::kUnavailable, "in use"};
  }));
  const WarmupReport report = run_warmup(std::move(steps), {}, at_once);
  EXPECT_EQ(report.steps.at(0).outcome, Outcome::kSkipped);
  EXPECT_EQ(report.steps.at(0).error, "in use");
  EXPECT_TRUE(report.warm);
}

TEST(WarmupRunner, AStepInPartsIsCalledUntilItIsDone) {
  int parts = 0, visits = 0;
  std::vector<WarmupStep> steps;
  steps.push_back(step("parts", [&]() -> Result<Progress> {
    return ++parts == 3 ? Progress::kDone : Progress::kMore;
  }));
  const WarmupReport report = run_warmup(std::move(steps), {}, [&](const auto& work) {
    ++visits;
    return work();
  });
  EXPECT_EQ(parts, 3);
  EXPECT_EQ(visits, 3);  // others get their turn in between
  EXPECT_TRUE(report.warm);
}

TEST(WarmupRunner, ModelsAndBesideRunSideBySideAndWholeAfterBoth) {
  // Each of the two waits for the other to have begun: one after the other they would hang.
  std::mutex mutex;
  std::condition_variable changed;
  int begun = 0;
  std::atomic<int> ended{0};
  const auto meet = [&]() -> Result<Progress> {
    std::unique_lock lock(mutex);
    ++begun;
    changed.notify_all();
    changed.wait(lock, [&] { return begun == 2; });
    ++ended;
    return Progress::kDone;
  };
  int ended_before_whole = -1;
  std::vector<WarmupStep> steps;
  steps.push_back(step(
      "whole",
      [&]() -> Result<Progress> {
        ended_before_whole = ended;
        return Progress::kDone;
      },
      WarmupLane::kWhole));
  steps.push_back(step("models", meet));
  steps.push_back(step("beside", meet, WarmupLane::kBeside));
  const WarmupReport report = run_warmup(std::move(steps), {}, at_once);
  EXPECT_EQ(ended_before_whole, 2);
  EXPECT_EQ(report.steps.back().name, "whole");
  EXPECT_TRUE(report.warm);
}

TEST(WarmupRunner, AStopLeavesTheRestOut) {
  std::stop_source stop;
  WarmupOptions options;
  options.stop = stop.get_token();
  int calls = 0;
  std::vector<WarmupStep> steps;
  steps.push_back(step("endless", [&]() -> Result<Progress> {
    if (++calls == 5) stop.request_stop();
    return Progress::kMore;
  }));
  steps.push_back(step("later", [&]() -> Result<Progress> {
    ADD_FAILURE() << "runs after the stop";
    return Progress::kDone;
  }));
  const WarmupReport report = run_warmup(std::move(steps), options, at_once);
  EXPECT_EQ(calls, 5);
  EXPECT_EQ(report.find("endless")->outcome, Outcome::kSkipped);
  EXPECT_EQ(report.find("later")->outcome, Outcome::kSkipped);
  EXPECT_FALSE(report.warm);
}

TEST(WarmupRunner, TellsEveryStepOnceWhenItHasEnded) {
  std::vector<std::string> told;
  WarmupOptions options;
  options.on_step = [&](const WarmupStepReport& report) {
    EXPECT_GE(report.duration_ms, 0);
    EXPECT_GE(report.start_ms, 0);
    told.push_back(report.name);
  };
  std::vector<WarmupStep> steps;
  steps.push_back(step("a", done));
  steps.push_back(step("b", done));
  steps.push_back(step("c", done, WarmupLane::kWhole));
  const WarmupReport report = run_warmup(std::move(steps), options, at_once);
  EXPECT_EQ(told, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_GE(report.total_ms, report.steps.back().start_ms + report.steps.back().duration_ms);
}

TEST(WarmupRunner, ALostDeviceFailsTheStep) {
  std::vector<WarmupStep> steps;
  steps.push_back(step("a", done));
  const WarmupReport report = run_warmup(std::move(steps), {}, [](const auto&) -> Status {
    return Error{ErrorCode::kDeviceLost, "gone"};
  });
  EXPECT_EQ(report.steps.at(0).outcome, Outcome::kFailed);
  EXPECT_FALSE(report.warm);
}

/// No thread can be started by this process any more, not even by the administrator's.
void forbid_threads() {
  if (::getuid() == 0) {
    ASSERT_EQ(::setuid(65534), 0);
  }
  const rlimit none = {0, 0};
  ASSERT_EQ(::setrlimit(RLIMIT_NPROC, &none), 0);
  EXPECT_THROW(std::thread([] {}).join(), std::system_error);
}

void run_without_threads() {
  forbid_threads();
  std::vector<WarmupStep> steps;
  steps.push_back(step("beside", done, WarmupLane::kBeside));
  steps.push_back(step("models", done));
  steps.push_back(step("whole", done, WarmupLane::kWhole));
  const WarmupReport report = run_warmup(std::move(steps), {}, at_once);
  EXPECT_TRUE(report.warm);
  EXPECT_EQ(report.steps.size(), 3u);
  std::_Exit(testing::Test::HasFailure() ? 1 : 0);
}

TEST(WarmupRunnerDeathTest, WithoutAThreadToBeHadTheLanesRunOneAfterTheOther) {
  if (LYRE_TEST_THREAD_SANITIZER) GTEST_SKIP() << "the sanitizer needs a thread of its own";
  EXPECT_EXIT(run_without_threads(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace lyre
