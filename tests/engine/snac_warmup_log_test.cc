#include "lyre/engine/snac_warmup_log.h"

#include <gtest/gtest.h>

#include "lyre/base/log.h"

namespace lyre {
namespace {

using Outcome = WarmupStepReport::Outcome;

/// The log of a codec's warm-up with these steps.
std::string logged(std::initializer_list<WarmupStepReport> steps) {
  configure_logging({.level = LogLevel::kInfo});
  testing::internal::CaptureStderr();
  SnacWarmupLog log;
  log.begin();
  for (const WarmupStepReport& step : steps) log.on_step(step);
  log.end();
  std::string text = testing::internal::GetCapturedStderr();
  configure_logging({.level = LogLevel::kOff});
  return text;
}

WarmupStepReport step(const char* name, Outcome outcome, const char* error = "") {
  WarmupStepReport report;
  report.name = name;
  report.outcome = outcome;
  report.duration_ms = 1.25;
  report.error = error;
  return report;
}

bool has(const std::string& text, const char* words) { return text.find(words) != text.npos; }

TEST(SnacWarmupLog, CompletedInTheTimeOfTheCodecsSteps) {
  const std::string text = logged({step("codec.a", Outcome::kOk), step("text.short", Outcome::kOk),
                                   step("codec.b", Outcome::kOk)});
  EXPECT_TRUE(has(text, " info \xF0\x9F\x94\xA5 Starting SNAC model warmup...")) << text;
  EXPECT_TRUE(has(text, " info \xE2\x9C\x85 SNAC model warmup completed in 2.50ms ")) << text;
}

TEST(SnacWarmupLog, TheFirstFailureOfTheCodecIsNamed) {
  const std::string text = logged({step("text.short", Outcome::kFailed, "no"),
                                   step("codec.a", Outcome::kFailed, "rotten"),
                                   step("codec.b", Outcome::kFailed, "later")});
  EXPECT_TRUE(
      has(text, " warning \xE2\x9A\xA0\xEF\xB8\x8F  SNAC warmup failed after 2.50ms: rotten "))
      << text;
  EXPECT_TRUE(has(text, "Model will still work but first inference will be slower")) << text;
  EXPECT_FALSE(has(text, "completed")) << text;
}

TEST(SnacWarmupLog, WhatWasLeftOutIsNotCompleted) {
  const std::string text = logged({step("codec.a", Outcome::kOk),
                                   step("codec.b", Outcome::kSkipped, "the warm-up was stopped")});
  EXPECT_TRUE(has(text, "left out, or a part of it: the warm-up was stopped")) << text;
  EXPECT_FALSE(has(text, "completed")) << text;
  EXPECT_FALSE(has(text, "failed")) << text;
}

}  // namespace
}  // namespace lyre
