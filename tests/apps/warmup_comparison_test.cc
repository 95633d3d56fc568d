// What `lyre warmup-demo` makes of the measurements of its processes.
#include "lyre/warmup_comparison.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/expect_error.h"

namespace lyre::command {
namespace {

using Verdict = WarmupGain::Verdict;

/// A process whose first request took `first`, the later ones 10, 12 and 11.
WarmupRun run_of(bool warm, double first) {
  WarmupRun run;
  run.warm = warm;
  run.load_ms = 50;
  run.warmup_ms = warm ? 200 : 0;
  for (const double ms : {first, 10.0, 12.0, 11.0}) run.requests.push_back({ms, 10 * ms});
  run.audio_s = 1.5;
  run.audio_hash = "00ff";
  return run;
}

std::vector<WarmupRun> runs_of(const std::vector<double>& cold, const std::vector<double>& warm) {
  std::vector<WarmupRun> runs;
  for (const double first : cold) runs.push_back(run_of(false, first));
  for (const double first : warm) runs.push_back(run_of(true, first));
  return runs;
}

WarmupComparison compare(const std::vector<WarmupRun>& runs) {
  auto comparison = compare_warmup_runs(runs);
  if (!comparison) {
    ADD_FAILURE() << comparison.error().message;
    return {};
  }
  return *std::move(comparison);
}

bool has(const std::string& text, const char* part) { return text.find(part) != text.npos; }

TEST(Spread, MedianAndRange) {
  const Spread odd = spread_of({5, 1, 3});
  EXPECT_EQ(odd.median, 3);
  EXPECT_EQ(odd.least, 1);
  EXPECT_EQ(odd.most, 5);
  EXPECT_EQ(spread_of({4, 1, 2, 100}).median, 3);
  EXPECT_EQ(spread_of({7}).median, 7);
  EXPECT_EQ(spread_of({}).median, 0);
}

TEST(WarmupComparison, TellsColdWarmSteadyAndTheGain) {
  const WarmupComparison comparison = compare(runs_of({44, 40, 48}, {11, 10, 12}));
  EXPECT_EQ(comparison.processes, 3);
  EXPECT_EQ(comparison.first_audio.cold.median, 44);
  EXPECT_EQ(comparison.first_audio.cold.most, 48);
  EXPECT_EQ(comparison.first_audio.warm.median, 11);
  EXPECT_EQ(comparison.first_audio.steady.median, 11);
  EXPECT_EQ(comparison.first_audio.saved_ms, 33);
  EXPECT_EQ(comparison.first_audio.saved_percent, 75);
  EXPECT_EQ(comparison.first_audio.speed_up, 4);
  EXPECT_EQ(comparison.total.cold.median, 440);
  EXPECT_EQ(comparison.load_ms.median, 50);
  EXPECT_EQ(comparison.warmup_ms.median, 200);  // of the warm ones only
}

TEST(WarmupComparison, IsHonestAboutTheSpread) {
  EXPECT_EQ(compare(runs_of({40, 44, 48}, {10, 11, 12})).first_audio.verdict, Verdict::kFaster);
  EXPECT_EQ(compare(runs_of({12, 44, 48}, {10, 11, 12})).first_audio.verdict,
            Verdict::kWithinSpread);
  EXPECT_EQ(compare(runs_of({10, 11, 12}, {10, 11, 12})).first_audio.verdict, Verdict::kNotFaster);
  EXPECT_EQ(compare(runs_of({10, 11, 12}, {20, 21, 22})).first_audio.verdict, Verdict::kNotFaster);
  EXPECT_EQ(compare(runs_of({40, 44}, {10, 11})).first_audio.verdict, Verdict::kTooFew);
}

TEST(WarmupComparison, TheTextSaysTheSame) {
  const std::string faster = comparison_text(compare(runs_of({44, 40, 48}, {11, 10, 12})));
  for (const char* part : {"3 cold and 3 warm", "cold, first request", "44.00 ms", "40.00 .. 48.00",
                           "33.00 ms, 75.0 %; speed-up 4.00 times", "Every warm process",
                           "1.00 times a later one", "equal, bit by bit (00ff)"}) {
    EXPECT_TRUE(has(faster, part)) << part << " is not in\n" << faster;
  }
  EXPECT_FALSE(has(faster, "Codec first decode"));
  EXPECT_TRUE(has(comparison_text(compare(runs_of({12, 44, 48}, {10, 11, 12}))),
                  "the difference is within the spread"));
  EXPECT_TRUE(
      has(comparison_text(compare(runs_of({10, 11, 12}, {20, 21, 22}))), "Warm was not faster"));
  EXPECT_TRUE(has(comparison_text(compare(runs_of({44}, {11}))), "Too few processes"));
}

TEST(WarmupComparison, TheCodecAloneAndFailedStepsAreTold) {
  std::vector<WarmupRun> runs = runs_of({44, 40, 48}, {11, 10, 12});
  for (size_t i = 3; i < 6; ++i) {
    runs[i].codec_first_ms = 20;
    runs[i].codec_again_ms = 2;
    runs[i].failed_steps = {"lm.sampler: broken"};
  }
  const WarmupComparison comparison = compare(runs);
  ASSERT_TRUE(comparison.codec_first_ms.has_value());
  EXPECT_EQ(comparison.codec_first_ms->median, 20);
  EXPECT_EQ(comparison.codec_again_ms->median, 2);
  EXPECT_EQ(comparison.failed_steps, std::vector<std::string>{"lm.sampler: broken"});
  EXPECT_TRUE(has(comparison_text(comparison), "Codec first decode"));
  EXPECT_TRUE(has(comparison_text(comparison), "lm.sampler: broken"));
}

TEST(WarmupComparison, OtherAudioIsAnError) {
  std::vector<WarmupRun> runs = runs_of({44}, {11});
  runs[1].audio_hash = "00fe";
  EXPECT_TRUE(test::is_error(compare_warmup_runs(runs), ErrorCode::kInternal,
                             {"00ff (cold)", "00fe (warm)"}));
}

TEST(WarmupComparison, WithoutLaterRequestsThereIsNoSteadyRow) {
  std::vector<WarmupRun> runs = runs_of({44}, {11});
  for (WarmupRun& run : runs) run.requests.resize(1);
  EXPECT_FALSE(has(comparison_text(compare(runs)), "steady"));
}

TEST(WarmupRun, JsonComesBackAsItWas) {
  WarmupRun run = run_of(true, 11.25);
  run.failed_steps = {"codec.first_frame: \"why\"\nline"};
  run.codec_again_ms = 1.5;
  const std::string line = to_json_line(run);
  EXPECT_EQ(line.find('\n'), line.npos);
  const auto read = parse_warmup_run(line);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->warm, true);
  EXPECT_EQ(read->load_ms, 50);
  EXPECT_EQ(read->warmup_ms, 200);
  EXPECT_EQ(read->failed_steps, run.failed_steps);
  ASSERT_EQ(read->requests.size(), 4u);
  EXPECT_EQ(read->requests[0].first_audio_ms, 11.25);
  EXPECT_EQ(read->requests[0].total_ms, 112.5);
  EXPECT_EQ(read->audio_s, 1.5);
  EXPECT_EQ(read->audio_hash, "00ff");
  EXPECT_FALSE(read->codec_first_ms.has_value());
  EXPECT_EQ(read->codec_again_ms, 1.5);
}

TEST(WarmupRun, WhatIsNoMeasurementIsAnError) {
  for (const char* line : {"", "no json", "[]", "{}", R"({"warm":1})"}) {
    EXPECT_TRUE(test::is_error(parse_warmup_run(line), ErrorCode::kInternal, {"JSON"})) << line;
  }
}

}  // namespace
}  // namespace lyre::command
