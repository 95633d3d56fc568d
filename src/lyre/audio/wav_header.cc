#include <algorithm>
#include <string_view>

#include "lyre/audio/pcm16.h"
#include "lyre/audio/wav.h"

namespace lyre {

std::array<uint8_t, kWavHeaderBytes> wav_header(int sample_rate_hz,
                                                std::optional<int64_t> samples) {
  constexpr uint32_t kUnknown = 0xFFFFFFFF;
  // The RIFF size counts everything behind its own field: the header less 8 bytes, and the data.
  constexpr uint32_t kBehindRiffSize = kWavHeaderBytes - 8;
  constexpr int64_t kMostSamples = (kUnknown - kBehindRiffSize - 1) / kPcm16BytesPerSample;
  const bool known = samples && *samples <= kMostSamples;
  const auto data_bytes = known ? static_cast<uint32_t>(*samples) * kPcm16BytesPerSample : kUnknown;
  const auto rate = static_cast<uint32_t>(sample_rate_hz);

  std::array<uint8_t, kWavHeaderBytes> header{};
  size_t at = 0;
  const auto tag = [&](std::string_view name) {
    for (const char c : name) header[at++] = static_cast<uint8_t>(c);
  };
  const auto number = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) header[at++] = static_cast<uint8_t>(value >> (8 * i));
  };
  tag("RIFF");
  number(known ? data_bytes + kBehindRiffSize : kUnknown, 4);
  tag("WAVEfmt ");
  number(16, 4);                           // bytes of the format chunk
  number(1, 2);                            // PCM
  number(1, 2);                            // channels
  number(rate, 4);                         // samples a second
  number(rate * kPcm16BytesPerSample, 4);  // bytes a second
  number(kPcm16BytesPerSample, 2);         // bytes a sample of all channels
  number(8 * kPcm16BytesPerSample, 2);     // bits a sample
  tag("data");
  number(data_bytes, 4);
  return header;
}

}  // namespace lyre
