#include "lyre/audio/pcm16.h"

#include <cmath>

#include "lyre/base/check.h"

namespace lyre {

int16_t pcm16_from_float(float sample) noexcept {
  if (std::isnan(sample)) return 0;
  const float scaled = sample * 32768.0f;
  // Clipped before the conversion, which is undefined outside the range of the integer.
  if (scaled >= 32767.0f) return 32767;
  if (scaled <= -32768.0f) return -32768;
  return static_cast<int16_t>(std::lrintf(scaled));
}

void write_pcm16_le(std::span<const float> samples, std::span<uint8_t> bytes) noexcept {
  LYRE_CHECK(bytes.size() == samples.size() * kPcm16BytesPerSample);
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto value = static_cast<uint16_t>(pcm16_from_float(samples[i]));
    bytes[2 * i] = static_cast<uint8_t>(value & 0xFF);
    bytes[2 * i + 1] = static_cast<uint8_t>(value >> 8);
  }
}

}  // namespace lyre
