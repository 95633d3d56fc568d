#include "lyre/audio/pcm16.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace lyre {
namespace {

TEST(Pcm16, RoundsToNearestWithTiesToEven) {
  EXPECT_EQ(pcm16_from_float(0.0f), 0);
  EXPECT_EQ(pcm16_from_float(0.4f / 32768), 0);
  EXPECT_EQ(pcm16_from_float(0.6f / 32768), 1);
  EXPECT_EQ(pcm16_from_float(-0.6f / 32768), -1);
  EXPECT_EQ(pcm16_from_float(0.5f / 32768), 0);
  EXPECT_EQ(pcm16_from_float(1.5f / 32768), 2);
  EXPECT_EQ(pcm16_from_float(-1.5f / 32768), -2);
  EXPECT_EQ(pcm16_from_float(0.5f), 16384);
}

TEST(Pcm16, ClipsWhatLiesOutside) {
  EXPECT_EQ(pcm16_from_float(1.0f), 32767);
  EXPECT_EQ(pcm16_from_float(-1.0f), -32768);
  EXPECT_EQ(pcm16_from_float(32767.4f / 32768), 32767);
  EXPECT_EQ(pcm16_from_float(3.0f), 32767);
  EXPECT_EQ(pcm16_from_float(-1e9f), -32768);
  EXPECT_EQ(pcm16_from_float(std::numeric_limits<float>::infinity()), 32767);
  EXPECT_EQ(pcm16_from_float(-std::numeric_limits<float>::infinity()), -32768);
}

TEST(Pcm16, NotANumberIsSilence) {
  EXPECT_EQ(pcm16_from_float(std::numeric_limits<float>::quiet_NaN()), 0);
  EXPECT_EQ(pcm16_from_float(-std::numeric_limits<float>::quiet_NaN()), 0);
}

TEST(Pcm16, EveryValueSurvivesReadingAndWriting) {
  for (int value = -32768; value <= 32767; ++value) {
    ASSERT_EQ(pcm16_from_float(static_cast<float>(value) / 32768.0f), value);
  }
}

TEST(Pcm16, WritesTheLowByteFirst) {
  const float samples[] = {1.0f / 32768, -2.0f / 32768, 0x1234 / 32768.0f};
  std::vector<uint8_t> bytes(6);
  write_pcm16_le(samples, bytes);
  EXPECT_EQ(bytes, (std::vector<uint8_t>{0x01, 0x00, 0xFE, 0xFF, 0x34, 0x12}));
}

}  // namespace
}  // namespace lyre
