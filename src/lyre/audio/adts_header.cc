#include "lyre/audio/adts_header.h"

#include <algorithm>
#include <iterator>

#include "lyre/base/check.h"

namespace lyre {
namespace {
constexpr int kRatesHz[] = {96000, 88200, 64000, 48000, 44100, 32000, 24000,
                            22050, 16000, 12000, 11025, 8000,  7350};
}

std::array<uint8_t, kAdtsHeaderBytes> adts_header(int sample_rate_hz, size_t payload_bytes) {
  LYRE_CHECK(payload_bytes <= kMostAdtsPayloadBytes);
  const auto* const rate = std::find(std::begin(kRatesHz), std::end(kRatesHz), sample_rate_hz);
  LYRE_CHECK(rate != std::end(kRatesHz));
  constexpr uint64_t kSyncWord = 0xFFF;
  constexpr uint64_t kLowComplexity = 1;
  constexpr uint64_t kMono = 1;
  constexpr uint64_t kFullnessUnknown = 0x7FF;

  uint64_t bits = 0;
  const auto put = [&bits](uint64_t value, int count) { bits = bits << count | value; };
  put(kSyncWord, 12);
  put(0, 1);  // MPEG-4
  put(0, 2);  // layer
  put(1, 1);  // no checksum
  put(kLowComplexity, 2);
  put(static_cast<uint64_t>(rate - kRatesHz), 4);
  put(0, 1);  // private
  put(kMono, 3);
  put(0, 4);  // original, home, copyright: bit and start
  put(payload_bytes + kAdtsHeaderBytes, 13);
  put(kFullnessUnknown, 11);
  put(0, 2);  // one block of samples
  std::array<uint8_t, kAdtsHeaderBytes> header{};
  for (size_t i = 0; i < header.size(); ++i) {
    header[i] = static_cast<uint8_t>(bits >> (8 * (header.size() - 1 - i)));
  }
  return header;
}

}  // namespace lyre
