// Every encoding, judged by FFmpeg's decoders: the speech is all there, at its place and level, and
// the bytes come while it is spoken, however it comes.
#include "lyre/audio/audio_encoder.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <ostream>

#include <gtest/gtest.h>

#include "audio/decode_audio.h"
#include "audio/speech_like.h"
#include "lyre/audio/pcm16.h"
#include "lyre/audio/wav.h"
#include "support/expect_error.h"

namespace lyre {
namespace {
using test::decode_audio;
using test::DecodedAudio;
using test::energy;
using test::is_error;
using test::snr_db;
using test::speech_like;

constexpr int kSourceHz = 24'000;
constexpr size_t kCodecFrame = 2'048;  // samples that the engine gives at once

AudioEncoder open_encoder(const AudioFormat& format, double speed = 1.0) {
  Result<AudioEncoder> encoder = AudioEncoder::open(format, kSourceHz, speed);
  EXPECT_TRUE(encoder.ok()) << encoder.error().message;
  return *std::move(encoder);
}

/// chunks: sizes of the pieces, over and over.
std::string encoded(std::span<const float> samples, const AudioFormat& format, double speed = 1.0,
                    std::vector<size_t> chunks = {kCodecFrame}) {
  AudioEncoder encoder = open_encoder(format, speed);
  std::string bytes;
  for (size_t i = 0; !samples.empty(); ++i) {
    const auto part = samples.first(std::min(samples.size(), chunks[i % chunks.size()]));
    const Status status = encoder.encode(part, bytes);
    EXPECT_TRUE(status.ok()) << status.error().message;
    samples = samples.subspan(part.size());
  }
  const Status status = encoder.finish(bytes);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return bytes;
}

/// What is compared with: the samples after the rounding to 16 bits.
std::vector<float> rounded(std::span<const float> samples) {
  std::vector<float> result;
  for (const float sample : samples) {
    result.push_back(static_cast<float>(pcm16_from_float(sample)) / 32768.0f);
  }
  return result;
}

std::vector<float> pcm_samples(std::string_view bytes) {
  std::vector<float> samples(bytes.size() / 2);
  for (size_t i = 0; i < samples.size(); ++i) {
    int16_t value = 0;
    std::memcpy(&value, bytes.data() + 2 * i, sizeof value);
    samples[i] = static_cast<float>(value) / 32768.0f;
  }
  return samples;
}

struct Compressed {
  AudioEncoding encoding;
  int sample_rate_hz;
  const char* container;
  const char* codec;
  size_t delay;         // samples that decoders give before the first one
  size_t run_out;       // at most so many after the last one; 0: the file says where it ends
  double least_snr_db;  // of speech_like() at the default bit rate
  size_t first_bytes;   // samples after which audio has come out
};

std::ostream& operator<<(std::ostream& out, const Compressed& compressed) {
  return out << encoding_name(compressed.encoding) << compressed.sample_rate_hz;
}

class Compression : public testing::TestWithParam<Compressed> {
 protected:
  AudioFormat format() const { return {GetParam().encoding, GetParam().sample_rate_hz, 0}; }
  std::vector<float> at_target_rate(std::span<const float> samples) const {
    return pcm_samples(encoded(samples, {AudioEncoding::kPcm16, GetParam().sample_rate_hz, 0}));
  }
};

TEST_P(Compression, KeepsTheSpeech) {
  const Compressed& expected = GetParam();
  const std::vector<float> said = speech_like(40'007, kSourceHz);
  const DecodedAudio heard = decode_audio(encoded(said, format()));
  ASSERT_EQ(heard.error, "");
  EXPECT_EQ(heard.format, expected.container);
  EXPECT_EQ(heard.codec, expected.codec);
  EXPECT_EQ(heard.channels, 1);

  const std::vector<float> source = at_target_rate(said);
  // Opus is decoded at 48 kHz whatever it was made from.
  const bool opus = expected.encoding == AudioEncoding::kOpus;
  const std::vector<float> wanted =
      opus ? pcm_samples(encoded(said, {AudioEncoding::kPcm16, 48'000, 0})) : source;
  EXPECT_EQ(heard.sample_rate_hz, opus ? 48'000 : expected.sample_rate_hz);
  ASSERT_GE(heard.samples.size(), expected.delay + wanted.size());
  EXPECT_LE(heard.samples.size(), expected.delay + wanted.size() + expected.run_out);

  const auto same_place = std::span(heard.samples).subspan(expected.delay, wanted.size());
  EXPECT_GT(snr_db(wanted, same_place), expected.least_snr_db);
  // LAME turns what it encodes down to 95 %, lest its noise clip.
  const double level = expected.encoding == AudioEncoding::kMp3 ? 0.95 * 0.95 : 1.0;
  EXPECT_NEAR(energy(same_place) / energy(wanted), level, 0.03);
}

TEST_P(Compression, DoesNotDependOnTheChunks) {
  const std::vector<float> said = speech_like(20'000, kSourceHz);
  const std::string bytes = encoded(said, format());
  EXPECT_EQ(encoded(said, format(), 1.0, {1, 7, 0, 3000, 576}), bytes);
  EXPECT_EQ(encoded(said, format(), 1.0, {said.size()}), bytes);
}

TEST_P(Compression, PlaysBeforeItEnds) {
  const std::vector<float> said = speech_like(GetParam().first_bytes, kSourceHz);
  AudioEncoder encoder = open_encoder(format());
  std::string bytes;
  ASSERT_TRUE(encoder.encode(said, bytes).ok());
  const DecodedAudio heard = decode_audio(bytes);
  EXPECT_EQ(heard.codec, GetParam().codec) << heard.error;
  EXPECT_FALSE(heard.samples.empty());
}

TEST_P(Compression, IsAsShortAsASample) {
  for (const size_t count : {size_t{1}, size_t{2}, size_t{500}}) {
    const DecodedAudio heard = decode_audio(encoded(speech_like(count, kSourceHz), format()));
    EXPECT_EQ(heard.codec, GetParam().codec) << count << ": " << heard.error;
  }
}

TEST_P(Compression, OfNothingIsNothing) { EXPECT_EQ(encoded({}, format()), ""); }

TEST_P(Compression, TakesWhatIsNoSound) {
  std::vector<float> broken = speech_like(6'000, kSourceHz);
  broken[100] = std::numeric_limits<float>::quiet_NaN();
  broken[200] = std::numeric_limits<float>::infinity();
  broken[300] = -1e30f;
  const DecodedAudio heard = decode_audio(encoded(broken, format()));
  EXPECT_EQ(heard.error, "");
  for (const float sample : heard.samples) ASSERT_LT(std::abs(sample), 4.0f);
}

INSTANTIATE_TEST_SUITE_P(
    Encodings, Compression,
    testing::Values(
        Compressed{AudioEncoding::kMp3, 24'000, "mp3", "mp3", 1105, 2 * 576, 24, 2 * kCodecFrame},
        Compressed{AudioEncoding::kMp3, 44'100, "mp3", "mp3", 1105, 2 * 1152, 24, 2 * kCodecFrame},
        Compressed{AudioEncoding::kOpus, 24'000, "ogg", "opus", 0, 0, 22, kCodecFrame},
        Compressed{AudioEncoding::kOpus, 16'000, "ogg", "opus", 0, 2, 22, kCodecFrame},
        Compressed{AudioEncoding::kOpus, 48'000, "ogg", "opus", 0, 0, 22, kCodecFrame},
        Compressed{AudioEncoding::kAac, 24'000, "aac", "aac", 1024, 2 * 1024, 28, 2 * kCodecFrame},
        Compressed{AudioEncoding::kAac, 44'100, "aac", "aac", 1024, 2 * 1024, 28, 2 * kCodecFrame},
        Compressed{AudioEncoding::kFlac, 24'000, "flac", "flac", 0, 0, 100, kCodecFrame},
        Compressed{AudioEncoding::kFlac, 16'000, "flac", "flac", 0, 0, 100, kCodecFrame}),
    testing::PrintToStringParamName());

TEST(AudioEncoder, FlacIsTheSamplesToo) {
  const std::vector<float> said = speech_like(5'000, kSourceHz);
  const DecodedAudio heard = decode_audio(encoded(said, {AudioEncoding::kFlac, 0, 0}));
  EXPECT_EQ(heard.samples, rounded(said));
}

TEST(AudioEncoder, PcmIsTheSamples) {
  const std::vector<float> said = speech_like(5'000, kSourceHz);
  const std::string bytes = encoded(said, {AudioEncoding::kPcm16, 0, 0}, 1.0, {1, 999});
  EXPECT_EQ(pcm_samples(bytes), rounded(said));
}

TEST(AudioEncoder, WavIsTheSameBehindAHeader) {
  const std::vector<float> said = speech_like(5'000, kSourceHz);
  const std::string bytes = encoded(said, {AudioEncoding::kWav, 0, 0});
  const auto header = wav_header(kSourceHz, std::nullopt);
  EXPECT_EQ(bytes.substr(0, kWavHeaderBytes), std::string(header.begin(), header.end()));
  EXPECT_EQ(bytes.substr(kWavHeaderBytes), encoded(said, {AudioEncoding::kPcm16, 0, 0}));
  EXPECT_EQ(encoded({}, {AudioEncoding::kWav, 0, 0}).size(), kWavHeaderBytes);
}

TEST(AudioEncoder, WavOfAnotherRateSaysSo) {
  const std::string bytes =
      encoded(speech_like(24'000, kSourceHz), {AudioEncoding::kWav, 8'000, 0});
  const auto parsed =
      parse_wav({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "test");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->sample_rate_hz, 8'000);
  EXPECT_EQ(parsed->samples.size(), 8'000u);
}

TEST(AudioEncoder, G711IsAByteASampleAtEightKilohertz) {
  const std::vector<float> said = speech_like(24'000, kSourceHz);
  for (const AudioEncoding encoding : {AudioEncoding::kMulaw, AudioEncoding::kAlaw}) {
    const std::string bytes = encoded(said, {encoding, 0, 0}, 1.0, {kCodecFrame, 1, 77});
    EXPECT_EQ(bytes.size(), 8'000u);
    EXPECT_EQ(bytes, encoded(said, {encoding, 8'000, 0}));
  }
}

TEST(AudioEncoder, MoreBitsAreMoreBytes) {
  const std::vector<float> said = speech_like(48'000, kSourceHz);
  for (const AudioEncoding encoding :
       {AudioEncoding::kMp3, AudioEncoding::kOpus, AudioEncoding::kAac}) {
    const size_t few = encoded(said, {encoding, 0, 24'000}).size();
    const size_t many = encoded(said, {encoding, 0, 96'000}).size();
    EXPECT_GT(many, 2 * few) << encoding_name(encoding);
    // Two seconds, and room for what the encoder sets aside.
    EXPECT_LT(many, 2 * 96'000 / 8 * 5 / 4) << encoding_name(encoding);
  }
}

TEST(AudioEncoder, TellsWhatItCannotDo) {
  EXPECT_TRUE(is_error(AudioEncoder::open({AudioEncoding::kOpus, 44'100, 0}, kSourceHz),
                       ErrorCode::kInvalidArgument,
                       {"opus", "8000, 12000, 16000, 24000 or 48000 Hz", "found 44100"}));
  for (const double speed : {0.0, 0.24, 4.1, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_TRUE(is_error(AudioEncoder::open({AudioEncoding::kPcm16, 0, 0}, kSourceHz, speed),
                         ErrorCode::kInvalidArgument, {"expected a speed of 0.25 to 4"}));
  }
}

}  // namespace
}  // namespace lyre
