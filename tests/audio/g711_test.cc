#include "lyre/audio/g711.h"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

namespace lyre {
namespace {

// The values of the tables in ITU-T G.711, in 16 bits.
int decode_mulaw(uint8_t code) {
  code = static_cast<uint8_t>(~code);
  const int magnitude = ((((code & 0xF) << 1) + 33) << ((code >> 4) & 7)) - 33;
  return (code & 0x80) != 0 ? -4 * magnitude : 4 * magnitude;
}

int decode_alaw(uint8_t code) {
  code ^= 0x55;
  const int segment = (code >> 4) & 7;
  int magnitude = ((code & 0xF) << 1) + 1;
  if (segment > 0) magnitude = (magnitude + 32) << (segment - 1);
  return (code & 0x80) != 0 ? 8 * magnitude : -8 * magnitude;
}

TEST(G711, KnownValues) {
  EXPECT_EQ(mulaw_from_pcm16(0), 0xFF);
  EXPECT_EQ(mulaw_from_pcm16(-1), 0x7F);
  EXPECT_EQ(mulaw_from_pcm16(32'767), 0x80);
  EXPECT_EQ(mulaw_from_pcm16(-32'768), 0x00);
  EXPECT_EQ(mulaw_from_pcm16(1'000), 0xCE);
  EXPECT_EQ(mulaw_from_pcm16(-1'000), 0x4E);
  EXPECT_EQ(alaw_from_pcm16(0), 0xD5);
  EXPECT_EQ(alaw_from_pcm16(-1), 0x55);
  EXPECT_EQ(alaw_from_pcm16(32'767), 0xAA);
  EXPECT_EQ(alaw_from_pcm16(-32'768), 0x2A);
  EXPECT_EQ(alaw_from_pcm16(1'000), 0xFA);
  EXPECT_EQ(alaw_from_pcm16(-1'000), 0x7A);
}

TEST(G711, IsOffByHalfAStepAtMost) {
  // Beyond, mu-law clips.
  constexpr int kMost = 32'635;
  for (int sample = -kMost; sample <= kMost; ++sample) {
    const auto value = static_cast<int16_t>(sample);
    const uint8_t mulaw = mulaw_from_pcm16(value);
    const int mulaw_step = 8 << ((~mulaw >> 4) & 7);
    ASSERT_LE(std::abs(decode_mulaw(mulaw) - sample), mulaw_step / 2 + 3) << sample;
    const uint8_t alaw = alaw_from_pcm16(value);
    const int alaw_step = 16 << std::max(0, (((alaw ^ 0x55) >> 4) & 7) - 1);
    ASSERT_LE(std::abs(decode_alaw(alaw) - sample), alaw_step / 2 + 1) << sample;
  }
}

TEST(G711, EveryCodeButOneZeroIsItsOwnValuesCode) {
  for (int code = 0; code < 256; ++code) {
    const auto byte = static_cast<uint8_t>(code);
    if (byte != 0x7F) {  // mu-law's second zero
      EXPECT_EQ(mulaw_from_pcm16(static_cast<int16_t>(decode_mulaw(byte))), byte);
    }
    EXPECT_EQ(alaw_from_pcm16(static_cast<int16_t>(decode_alaw(byte))), byte);
  }
}

}  // namespace
}  // namespace lyre
