#include "lyre/server/request_counts.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

namespace lyre::server {
namespace {

uint64_t count_of(const Histogram& histogram) {
  const auto counts = histogram.snapshot().counts;
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

TEST(Histogram, ABoundBelongsToTheBucketBelowIt) {
  constexpr std::array kBounds = {1.0, 2.0};
  Histogram histogram(kBounds);
  for (const double value : {0.0, 1.0, 1.5, 2.0, 2.5, 100.0}) histogram.add(value);
  const Histogram::Snapshot now = histogram.snapshot();
  EXPECT_EQ(now.counts, (std::vector<uint64_t>{2, 2, 2}));
  EXPECT_DOUBLE_EQ(now.sum, 107);
}

TEST(Histogram, ThreadsLoseNothing) {
  constexpr std::array kBounds = {1.0};
  Histogram histogram(kBounds);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) histogram.add(i % 2 * 2);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(histogram.snapshot().counts, (std::vector<uint64_t>{2000, 2000}));
  EXPECT_DOUBLE_EQ(histogram.snapshot().sum, 4000);
}

TEST(RequestCounts, CountsByRouteClassCodeAndEnd) {
  RequestCounts counts;
  AccessRecord spoken;
  spoken.route = "/v1/audio/speech";
  spoken.status = 200;
  spoken.speech = spoken.placed = spoken.behind = true;
  spoken.finish = "stop";
  spoken.first_audio_ms = 20;
  spoken.duration_ms = 600;
  spoken.queue_ms = 100;
  spoken.audio_s = 2;
  spoken.generated_tokens = 70;
  spoken.frames = 10;
  counts.add(spoken);
  AccessRecord lost;
  lost.status = 404;
  lost.error_code = "not_found";
  counts.add(lost);
  const RequestCounts::Totals totals = counts.totals();
  EXPECT_EQ(totals.requests.at({"/v1/audio/speech", "2xx"}), 1);
  EXPECT_EQ(totals.requests.at({"none", "4xx"}), 1);
  EXPECT_EQ(totals.errors.at("not_found"), 1);
  EXPECT_EQ(totals.speeches.at("stop"), 1);
  EXPECT_EQ(totals.frames, 10);
  EXPECT_EQ(totals.behind, 1);
  EXPECT_DOUBLE_EQ(counts.real_time_factor.snapshot().sum, 0.25);  // (600 - 100) ms of 2 s
  EXPECT_EQ(count_of(counts.first_audio_s), 1u);
  EXPECT_EQ(count_of(counts.queue_wait_s), 1u);
}

TEST(RequestCounts, TheServersOwnDoNotCount) {
  RequestCounts counts;
  AccessRecord own;
  own.warm_up = true;
  counts.add(own);
  EXPECT_TRUE(counts.totals().requests.empty());
}

TEST(RequestCounts, CodesHaveALimit) {
  RequestCounts counts;
  AccessRecord failed;
  failed.status = 400;
  for (int i = 0; i < 1000; ++i) {
    failed.error_code = "code" + std::to_string(i);
    counts.add(failed);
  }
  EXPECT_LE(counts.totals().errors.size(), 65u);
  EXPECT_GT(counts.totals().errors.at("other"), 900);
}

}  // namespace
}  // namespace lyre::server
