#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>
#include <vector>

namespace lyre::test {

/// Something with the band, the level and the pauses of speech: a voice of 20 harmonics that rises
/// and falls, in syllables. The same each time.
inline std::vector<float> speech_like(size_t count, int sample_rate_hz) {
  std::vector<float> samples(count);
  double phase = 0;
  for (size_t i = 0; i < count; ++i) {
    const double time = static_cast<double>(i) / sample_rate_hz;
    const double pitch_hz = 120 + 30 * std::sin(2 * std::numbers::pi * 0.7 * time);
    phase += 2 * std::numbers::pi * pitch_hz / sample_rate_hz;
    double sum = 0;
    for (int harmonic = 1; harmonic <= 20; ++harmonic) {
      sum += std::sin(harmonic * phase + harmonic * harmonic) / harmonic;
    }
    const double syllable = std::max(0.0, std::sin(2 * std::numbers::pi * 3 * time));
    samples[i] = static_cast<float>(0.25 * sum * syllable);
  }
  return samples;
}

inline std::vector<float> sine(size_t count, double frequency_hz, int sample_rate_hz,
                               double level = 0.5) {
  std::vector<float> samples(count);
  for (size_t i = 0; i < count; ++i) {
    const double turns = frequency_hz * static_cast<double>(i) / sample_rate_hz;
    samples[i] = static_cast<float>(level * std::sin(2 * std::numbers::pi * turns));
  }
  return samples;
}

inline double energy(std::span<const float> samples) {
  double sum = 0;
  for (const float sample : samples) sum += static_cast<double>(sample) * sample;
  return sum;
}

/// Signal to noise in dB of `heard` against `said`, at the same places.
inline double snr_db(std::span<const float> said, std::span<const float> heard) {
  double noise = 0;
  for (size_t i = 0; i < said.size(); ++i) {
    const double difference = static_cast<double>(said[i]) - heard[i];
    noise += difference * difference;
  }
  return 10 * std::log10(energy(said) / std::max(noise, 1e-12));
}

}  // namespace lyre::test
