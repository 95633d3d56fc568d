#include "lyre/audio/resampler.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "audio/speech_like.h"

namespace lyre {
namespace {
using test::sine;
using test::snr_db;
using test::speech_like;

constexpr int kFromHz = 24'000;

std::vector<float> resampled(std::span<const float> samples, int to_hz, size_t chunk = 2'048) {
  Result<Resampler> resampler = Resampler::open(kFromHz, to_hz);
  EXPECT_TRUE(resampler.ok()) << resampler.error().message;
  std::vector<float> out;
  for (; !samples.empty(); samples = samples.subspan(std::min(samples.size(), chunk))) {
    EXPECT_TRUE(resampler->push(samples.first(std::min(samples.size(), chunk)), out).ok());
  }
  EXPECT_TRUE(resampler->finish(out).ok());
  return out;
}

TEST(Resampler, TheDurationIsExact) {
  for (const int to_hz : {8'000, 16'000, 22'050, 44'100, 48'000}) {
    for (const int64_t count : {0, 1, 2, 100, 24'000, 24'001}) {
      const int64_t due = (count * to_hz + kFromHz - 1) / kFromHz;
      EXPECT_EQ(resampled(speech_like(static_cast<size_t>(count), kFromHz), to_hz).size(),
                static_cast<size_t>(due))
          << to_hz << " Hz, " << count;
    }
  }
}

TEST(Resampler, IsTheSameSoundAtTheSamePlace) {
  for (const int to_hz : {8'000, 16'000, 22'050, 44'100, 48'000}) {
    const std::vector<float> heard = resampled(sine(24'000, 1'000, kFromHz), to_hz);
    const std::vector<float> wanted = sine(heard.size(), 1'000, to_hz);
    // Not the edges, where a sine that begins at once is no band-limited signal.
    const size_t edge = static_cast<size_t>(to_hz) / 50;
    const auto inner = [&](std::span<const float> all) {
      return all.subspan(edge, all.size() - 2 * edge);
    };
    EXPECT_GT(snr_db(inner(wanted), inner(heard)), 60) << to_hz;
  }
}

TEST(Resampler, WhatTheRateCannotHoldIsGone) {
  const std::vector<float> heard = resampled(sine(24'000, 9'000, kFromHz), 8'000);
  EXPECT_LT(test::energy(heard) / static_cast<double>(heard.size()), 1e-5);
}

TEST(Resampler, DoesNotDependOnTheChunks) {
  const std::vector<float> said = speech_like(10'000, kFromHz);
  for (const int to_hz : {8'000, 44'100}) {
    const std::vector<float> whole = resampled(said, to_hz, said.size());
    EXPECT_EQ(resampled(said, to_hz, 1), whole);
    EXPECT_EQ(resampled(said, to_hz, 577), whole);
  }
}

}  // namespace
}  // namespace lyre
