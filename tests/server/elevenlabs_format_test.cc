#include "lyre/server/elevenlabs_format.h"

#include <gtest/gtest.h>

#include <string>

namespace lyre::server {
namespace {

TEST(ElevenLabsFormat, NamesOfTheApi) {
  const struct {
    const char* name;
    AudioEncoding encoding;
    int sample_rate_hz, bit_rate;
  } cases[] = {
      {"mp3_44100_128", AudioEncoding::kMp3, 44'100, 128'000},
      {"mp3_22050_32", AudioEncoding::kMp3, 22'050, 32'000},
      {"pcm_8000", AudioEncoding::kPcm16, 8'000, 0},
      {"pcm_24000", AudioEncoding::kPcm16, 24'000, 0},
      {"wav_44100", AudioEncoding::kWav, 44'100, 0},
      {"ulaw_8000", AudioEncoding::kMulaw, 8'000, 0},
      {"alaw_8000", AudioEncoding::kAlaw, 8'000, 0},
      {"opus_48000_64", AudioEncoding::kOpus, 48'000, 64'000},
  };
  for (const auto& c : cases) {
    const auto format = elevenlabs_format(c.name);
    ASSERT_TRUE(format.ok()) << c.name;
    EXPECT_EQ(format->encoding, c.encoding) << c.name;
    EXPECT_EQ(format->sample_rate_hz, c.sample_rate_hz) << c.name;
    EXPECT_EQ(format->bit_rate, c.bit_rate) << c.name;
  }
  EXPECT_TRUE(elevenlabs_format(kElevenLabsDefaultFormat).ok());
}

TEST(ElevenLabsFormat, AnotherNameIsAnErrorThatListsThem) {
  for (const char* name : {"", "mp3", "pcm_24001", "MP3_44100_128", "mp3_44100_128 "}) {
    const auto format = elevenlabs_format(name);
    ASSERT_FALSE(format.ok()) << name;
    EXPECT_EQ(format.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(format.error().message.find("output_format"), std::string::npos);
    EXPECT_NE(format.error().message.find("pcm_24000"), std::string::npos);
  }
}

}  // namespace
}  // namespace lyre::server
