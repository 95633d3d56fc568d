#include "lyre/engine/warmup_faults.h"

#include <gtest/gtest.h>

#include <new>

#include "lyre/base/clock.h"

#include "support/expect_error.h"

namespace lyre {
namespace {

using Progress = WarmupStep::Progress;

WarmupStep good_step(std::string name, int& runs) {
  return {.name = std::move(name), .run = [&runs]() -> Result<Progress> {
            ++runs;
            return Progress::kDone;
          }};
}

TEST(WarmupFaults, EveryKindHitsItsStepAndNoOther) {
  const auto faults = WarmupFaults::parse("a.b=error, c=throw ,d.*=alloc,,e=stall:0, f.x=error");
  ASSERT_TRUE(faults) << faults.error().message;
  int runs = 0;
  EXPECT_TRUE(test::is_error(faults->inject(good_step("a.b", runs)).run(), ErrorCode::kInternal,
                             {"injected"}));
  EXPECT_THROW((void)faults->inject(good_step("c", runs)).run(), std::runtime_error);
  EXPECT_THROW((void)faults->inject(good_step("d.anything", runs)).run(), std::bad_alloc);
  EXPECT_EQ(runs, 0);
  for (const char* name : {"e", "a", "a.b.c", "d", "f"}) {
    const auto progress = faults->inject(good_step(name, runs)).run();
    ASSERT_TRUE(progress) << name;
    EXPECT_EQ(*progress, Progress::kDone);
  }
  EXPECT_EQ(runs, 5);
}

TEST(WarmupFaults, AStallWaitsInPartsAndThenRuns) {
  const auto faults = WarmupFaults::parse("slow=stall:60");
  ASSERT_TRUE(faults) << faults.error().message;
  int runs = 0, parts = 0;
  const WarmupStep step = faults->inject(good_step("slow", runs));
  const TimePoint begin = Clock::now();
  for (;; ++parts) {
    const auto progress = step.run();
    ASSERT_TRUE(progress);
    if (*progress == Progress::kDone) break;
    EXPECT_EQ(runs, 0);
  }
  EXPECT_EQ(runs, 1);
  EXPECT_GE(parts, 1);
  EXPECT_GE(milliseconds_since(begin), 60);
}

TEST(WarmupFaults, NothingIsNoFault) {
  for (const char* text : {"", " ", ",", " , "}) {
    const auto faults = WarmupFaults::parse(text);
    ASSERT_TRUE(faults) << text;
    int runs = 0;
    EXPECT_TRUE(faults->inject(good_step("a", runs)).run());
    EXPECT_EQ(runs, 1);
  }
}

TEST(WarmupFaults, WhatIsNotUnderstoodIsNamed) {
  for (const char* text : {"a", "=error", "a=crash", "a=stall", "a=stall:", "a=stall:x",
                           "a=stall:-1", "a=stall:99999999999", "good=error,bad"}) {
    EXPECT_TRUE(test::is_error(WarmupFaults::parse(text), ErrorCode::kInvalidArgument,
                               {"warmup_faults", "stall:MILLISECONDS"}))
        << text;
  }
}

}  // namespace
}  // namespace lyre
