#include "lyre/audio/audio_format.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace lyre {
namespace {
using test::is_error;

constexpr AudioEncoding kAll[] = {AudioEncoding::kPcm16, AudioEncoding::kWav, AudioEncoding::kMp3,
                                  AudioEncoding::kOpus,  AudioEncoding::kAac, AudioEncoding::kFlac,
                                  AudioEncoding::kMulaw, AudioEncoding::kAlaw};

AudioFormat resolved(AudioEncoding encoding, int source_rate_hz, int sample_rate_hz = 0,
                     int bit_rate = 0) {
  const auto format = resolve_format({encoding, sample_rate_hz, bit_rate}, source_rate_hz);
  EXPECT_TRUE(format.ok()) << format.error().message;
  return *format;
}

TEST(AudioFormat, TheSpeechsOwnRateWhereTheEncodingKnowsIt) {
  for (const AudioEncoding encoding : kAll) {
    const bool telephone = encoding == AudioEncoding::kMulaw || encoding == AudioEncoding::kAlaw;
    EXPECT_EQ(resolved(encoding, 24'000).sample_rate_hz, telephone ? 8'000 : 24'000)
        << encoding_name(encoding);
  }
}

TEST(AudioFormat, OrTheNextThatLosesNothing) {
  EXPECT_EQ(resolved(AudioEncoding::kOpus, 22'050).sample_rate_hz, 24'000);
  EXPECT_EQ(resolved(AudioEncoding::kMp3, 96'000).sample_rate_hz, 48'000);
  EXPECT_EQ(resolved(AudioEncoding::kWav, 22'050).sample_rate_hz, 22'050);
  EXPECT_EQ(resolved(AudioEncoding::kWav, 96'000).sample_rate_hz, 96'000);
}

TEST(AudioFormat, BitRatesThatSuitSpeech) {
  EXPECT_EQ(resolved(AudioEncoding::kMp3, 24'000).bit_rate, 64'000);
  EXPECT_EQ(resolved(AudioEncoding::kOpus, 24'000).bit_rate, 32'000);
  EXPECT_EQ(resolved(AudioEncoding::kAac, 24'000).bit_rate, 64'000);
  EXPECT_EQ(resolved(AudioEncoding::kAac, 24'000, 8'000).bit_rate, 48'000);  // all that it takes
  EXPECT_EQ(resolved(AudioEncoding::kFlac, 24'000).bit_rate, 0);
  EXPECT_EQ(resolved(AudioEncoding::kMp3, 24'000, 44'100, 128'000).bit_rate, 128'000);
}

TEST(AudioFormat, ErrorsNameWhatIsKnown) {
  const auto invalid = ErrorCode::kInvalidArgument;
  EXPECT_TRUE(is_error(resolve_format({AudioEncoding::kMp3, 96'000, 0}, 24'000), invalid,
                       {"mp3", "8000, 11025,", "44100 or 48000 Hz", "found 96000"}));
  EXPECT_TRUE(is_error(resolve_format({AudioEncoding::kWav, 1'000'000, 0}, 24'000), invalid,
                       {"wav", "8000 to 48000 Hz", "found 1000000"}));
  EXPECT_TRUE(is_error(resolve_format({AudioEncoding::kFlac, -1, 0}, 24'000), invalid,
                       {"flac", "found -1"}));
  EXPECT_TRUE(is_error(resolve_format({AudioEncoding::kMulaw, 24'000, 0}, 24'000), invalid,
                       {"mulaw: expected a sample rate of 8000 Hz, found 24000"}));
  EXPECT_TRUE(is_error(resolve_format({AudioEncoding::kMp3, 24'000, 192'000}, 24'000), invalid,
                       {"mp3 at 24000 Hz", "8000 to 160000", "found 192000"}));
  EXPECT_TRUE(is_error(resolve_format({AudioEncoding::kOpus, 0, -1}, 24'000), invalid,
                       {"opus", "6000 to 256000", "found -1"}));
  EXPECT_TRUE(is_error(resolve_format({AudioEncoding::kWav, 0, 64'000}, 24'000), invalid,
                       {"wav has no bit rate", "found 64000"}));
}

TEST(AudioFormat, NamesAndMediaTypes) {
  EXPECT_STREQ(encoding_name(AudioEncoding::kPcm16), "pcm");
  EXPECT_STREQ(encoding_name(AudioEncoding::kAlaw), "alaw");
  EXPECT_STREQ(content_type(AudioEncoding::kMp3), "audio/mpeg");
  EXPECT_STREQ(content_type(AudioEncoding::kOpus), "audio/ogg");
  EXPECT_STREQ(content_type(AudioEncoding::kMulaw), "audio/basic");
}

}  // namespace
}  // namespace lyre
