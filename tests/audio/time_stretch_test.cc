#include "lyre/audio/time_stretch.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>

#include <gtest/gtest.h>

#include "audio/speech_like.h"

namespace lyre {
namespace {
using test::energy;
using test::sine;
using test::speech_like;

constexpr int kRateHz = 24'000;
constexpr double kSpeeds[] = {0.25, 0.5, 0.8, 1.1, 1.5, 2.0, 4.0};

std::vector<float> stretched(std::span<const float> samples, double speed, size_t chunk = 2'048) {
  TimeStretch stretch(kRateHz, speed);
  std::vector<float> out;
  for (; !samples.empty(); samples = samples.subspan(std::min(samples.size(), chunk))) {
    stretch.push(samples.first(std::min(samples.size(), chunk)), out);
  }
  stretch.finish(out);
  return out;
}

double strength_at(std::span<const float> samples, double frequency_hz) {
  std::complex<double> sum = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const double turns = frequency_hz * static_cast<double>(i) / kRateHz;
    sum += static_cast<double>(samples[i]) * std::polar(1.0, 2 * std::numbers::pi * turns);
  }
  return std::abs(sum);
}

TEST(TimeStretch, TheDurationIsExact) {
  for (const double speed : kSpeeds) {
    for (const size_t count : {size_t{1}, size_t{1'000}, size_t{24'000}, size_t{50'021}}) {
      const double due = static_cast<double>(count) / speed;
      EXPECT_NEAR(static_cast<double>(stretched(speech_like(count, kRateHz), speed).size()), due, 1)
          << speed;
    }
  }
  EXPECT_TRUE(stretched({}, 2.0).empty());
}

TEST(TimeStretch, ThePitchStays) {
  const std::vector<float> said = sine(48'000, 200, kRateHz);
  for (const double speed : kSpeeds) {
    const std::vector<float> heard = stretched(said, speed);
    double loudest_hz = 0;
    double strength = 0;
    for (double frequency_hz = 40; frequency_hz < 900; frequency_hz += 5) {
      const double here = strength_at(heard, frequency_hz);
      if (here > strength) {
        strength = here;
        loudest_hz = frequency_hz;
      }
    }
    EXPECT_NEAR(loudest_hz, 200, 5) << speed;
    const double level = energy(heard) / static_cast<double>(heard.size());
    EXPECT_NEAR(level, 0.125, 0.02) << speed;  // half of 0.5 squared
  }
}

TEST(TimeStretch, TheEndIsThere) {
  // A tone in the last 100 ms of what is heard only: some pieces long.
  for (const double speed : kSpeeds) {
    std::vector<float> said(24'000, 0.0f);
    const std::vector<float> tone = sine(static_cast<size_t>(2'400 * speed), 400, kRateHz);
    std::copy(tone.begin(), tone.end(), said.end() - static_cast<std::ptrdiff_t>(tone.size()));
    const std::vector<float> heard = stretched(said, speed);
    const double due = energy(tone) / speed;
    EXPECT_GT(energy(heard), 0.6 * due) << speed;
    EXPECT_LT(energy(heard), 1.4 * due) << speed;
  }
}

TEST(TimeStretch, EventsStayAtTheirPlace) {
  std::vector<float> said(48'000, 0.0f);
  const std::vector<float> tone = sine(12'000, 300, kRateHz);
  std::copy(tone.begin(), tone.end(), said.begin() + 24'000);
  for (const double speed : kSpeeds) {
    const std::vector<float> heard = stretched(said, speed);
    const auto begin = std::find_if(heard.begin(), heard.end(),
                                    [](float sample) { return std::abs(sample) > 0.1f; });
    // 40 ms of the slower of both clocks: a piece.
    const double piece = 0.04 * kRateHz / std::min(1.0, speed);
    EXPECT_NEAR(static_cast<double>(begin - heard.begin()), 24'000 / speed, piece) << speed;
  }
}

TEST(TimeStretch, DoesNotDependOnTheChunks) {
  const std::vector<float> said = speech_like(30'000, kRateHz);
  for (const double speed : {0.7, 1.6}) {
    const std::vector<float> whole = stretched(said, speed, said.size());
    EXPECT_EQ(stretched(said, speed, 1), whole) << speed;
    EXPECT_EQ(stretched(said, speed, 997), whole) << speed;
  }
}

TEST(TimeStretch, ComesWhileItIsSpoken) {
  for (const double speed : kSpeeds) {
    TimeStretch stretch(kRateHz, speed);
    std::vector<float> out;
    // Two pieces of speech at four times the speed, with the place to search in.
    stretch.push(speech_like(12'000, kRateHz), out);
    EXPECT_FALSE(out.empty()) << speed;
  }
}

}  // namespace
}  // namespace lyre
