#include "lyre/audio/wav.h"

#include <fcntl.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

#include <gtest/gtest.h>

#include "lyre/audio/pcm16.h"

namespace lyre {
namespace {

using Bytes = std::vector<uint8_t>;

uint32_t number(std::span<const uint8_t> bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value |= uint32_t{bytes[at + i]} << (8 * i);
  return value;
}

void append(Bytes& to, uint64_t value, int count) {
  for (int i = 0; i < count; ++i) to.push_back(static_cast<uint8_t>(value >> (8 * i)));
}
void append(Bytes& to, const char* tag) { to.insert(to.end(), tag, tag + std::strlen(tag)); }

struct Format {
  uint32_t tag = 1;
  int channels = 1;
  int bits = 16;
  uint32_t rate_hz = 24000;
  bool extensible = false;
};

Bytes wav_file(const Format& format, const Bytes& data,
               std::optional<uint32_t> data_size = std::nullopt) {
  Bytes file;
  append(file, "RIFF");
  append(file, 0xFFFFFFFF, 4);
  append(file, "WAVEfmt ");
  append(file, format.extensible ? 40 : 16, 4);
  append(file, format.extensible ? 0xFFFE : format.tag, 2);
  append(file, static_cast<uint64_t>(format.channels), 2);
  append(file, format.rate_hz, 4);
  const auto block = static_cast<uint64_t>(format.channels * format.bits / 8);
  append(file, block * format.rate_hz, 4);
  append(file, block, 2);
  append(file, static_cast<uint64_t>(format.bits), 2);
  if (format.extensible) {
    append(file, 22, 2);
    append(file, static_cast<uint64_t>(format.bits), 2);
    append(file, 0, 4);
    append(file, format.tag, 2);
    file.insert(file.end(), 14, 0x10);  // the rest of the GUID
  }
  append(file, "data");
  append(file, data_size.value_or(static_cast<uint32_t>(data.size())), 4);
  file.insert(file.end(), data.begin(), data.end());
  return file;
}

std::filesystem::path temporary_file(const char* name) {
  return std::filesystem::path(testing::TempDir()) / name;
}

Bytes file_bytes(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return Bytes{std::istreambuf_iterator<char>(stream), {}};
}

TEST(WavHeader, OfAKnownLength) {
  const auto header = wav_header(24000, 1000);
  EXPECT_EQ(std::memcmp(header.data(), "RIFF", 4), 0);
  EXPECT_EQ(number(header, 4, 4), 2000u + 36u);
  EXPECT_EQ(std::memcmp(header.data() + 8, "WAVEfmt ", 8), 0);
  EXPECT_EQ(number(header, 16, 4), 16u);
  EXPECT_EQ(number(header, 20, 2), 1u);
  EXPECT_EQ(number(header, 22, 2), 1u);
  EXPECT_EQ(number(header, 24, 4), 24000u);
  EXPECT_EQ(number(header, 28, 4), 48000u);
  EXPECT_EQ(number(header, 32, 2), 2u);
  EXPECT_EQ(number(header, 34, 2), 16u);
  EXPECT_EQ(std::memcmp(header.data() + 36, "data", 4), 0);
  EXPECT_EQ(number(header, 40, 4), 2000u);
}

TEST(WavHeader, OfAStreamHasUnknownSizes) {
  const auto header = wav_header(24000, std::nullopt);
  EXPECT_EQ(number(header, 4, 4), 0xFFFFFFFFu);
  EXPECT_EQ(number(header, 40, 4), 0xFFFFFFFFu);
}

TEST(WavHeader, LengthThat32BitsDoNotHoldIsUnknown) {
  EXPECT_EQ(number(wav_header(24000, (0xFFFFFFFFll - 37) / 2), 40, 4), 0xFFFFFFDAu);
  EXPECT_EQ(number(wav_header(24000, 0x7FFFFFFF), 40, 4), 0xFFFFFFFFu);
  EXPECT_EQ(number(wav_header(24000, int64_t{1} << 40), 4, 4), 0xFFFFFFFFu);
}

TEST(WavWriter, PatchesTheSizesOfAFile) {
  const auto file = temporary_file("writer.wav");
  std::vector<float> samples(10'001);  // more than one buffer of the writer
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i] = 0.9f * std::sin(static_cast<float>(i) * 0.01f);
  }
  {
    auto writer = WavWriter::open(file, 24000);
    ASSERT_TRUE(writer) << writer.error().message;
    ASSERT_TRUE(writer->write(std::span(samples).first(4)));
    ASSERT_TRUE(writer->write(std::span(samples).subspan(4)));
    EXPECT_EQ(writer->samples(), 10'001);
    ASSERT_TRUE(writer->finish());
  }
  const Bytes bytes = file_bytes(file);
  ASSERT_EQ(bytes.size(), kWavHeaderBytes + 20'002);
  const auto header = wav_header(24000, 10'001);
  EXPECT_TRUE(std::equal(header.begin(), header.end(), bytes.begin()));
  Bytes expected(20'002);
  write_pcm16_le(samples, expected);
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), bytes.begin() + kWavHeaderBytes));
}

TEST(WavWriter, DestructorLeavesAWholeFile) {
  const auto file = temporary_file("dropped.wav");
  {
    auto writer = WavWriter::open(file, 24000);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->write(std::vector<float>(5)));
  }
  EXPECT_EQ(number(file_bytes(file), 40, 4), 10u);
}

// Runs with standard output redirected, as a shell would do it.
class StandardOutput {
 public:
  explicit StandardOutput(int replacement) : saved_(::dup(STDOUT_FILENO)) {
    ::dup2(replacement, STDOUT_FILENO);
  }
  ~StandardOutput() {
    ::dup2(saved_, STDOUT_FILENO);
    ::close(saved_);
  }

 private:
  int saved_;
};

Status write_to_standard_output() {
  LYRE_ASSIGN_OR_RETURN(WavWriter writer, WavWriter::open("-", 24000));
  LYRE_RETURN_IF_ERROR(writer.write(std::vector<float>(3, 0.5f)));
  return writer.finish();
}

TEST(WavWriter, APipeKeepsTheHeaderOfAStream) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Status status = ok_status();
  {
    const StandardOutput redirected(ends[1]);
    status = write_to_standard_output();
  }
  ::close(ends[1]);
  ASSERT_TRUE(status) << status.error().message;
  Bytes bytes(200);
  bytes.resize(static_cast<size_t>(::read(ends[0], bytes.data(), bytes.size())));
  ::close(ends[0]);
  ASSERT_EQ(bytes.size(), kWavHeaderBytes + 6);
  EXPECT_EQ(number(bytes, 40, 4), 0xFFFFFFFFu);
  EXPECT_EQ(number(bytes, 44, 2), 0x4000u);
}

TEST(WavWriter, ARedirectionBehindOtherOutputIsPatchedInItsPlace) {
  const auto file = temporary_file("redirected.bin");
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
  ASSERT_EQ(::write(descriptor, "12345", 5), 5);
  Status status = ok_status();
  {
    const StandardOutput redirected(descriptor);
    status = write_to_standard_output();
    EXPECT_EQ(::write(STDOUT_FILENO, "end", 3), 3);
  }
  ::close(descriptor);
  ASSERT_TRUE(status) << status.error().message;
  const Bytes bytes = file_bytes(file);
  ASSERT_EQ(bytes.size(), 5 + kWavHeaderBytes + 6 + 3);
  EXPECT_EQ(std::memcmp(bytes.data(), "12345RIFF", 9), 0);
  EXPECT_EQ(number(bytes, 5 + 40, 4), 6u);
  EXPECT_EQ(std::memcmp(bytes.data() + bytes.size() - 3, "end", 3), 0);
}

TEST(WavWriter, AppendingKeepsTheHeaderOfAStream) {
  const auto file = temporary_file("appended.bin");
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
  Status status = ok_status();
  {
    const StandardOutput redirected(descriptor);
    status = write_to_standard_output();
  }
  ::close(descriptor);
  ASSERT_TRUE(status) << status.error().message;
  const Bytes bytes = file_bytes(file);
  ASSERT_EQ(bytes.size(), kWavHeaderBytes + 6);
  EXPECT_EQ(number(bytes, 40, 4), 0xFFFFFFFFu);
}

TEST(WavWriter, ErrorsNameTheFile) {
  const auto writer = WavWriter::open("/nonexistent-folder/a.wav", 24000);
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kNotFound);
  EXPECT_NE(writer.error().message.find("/nonexistent-folder/a.wav"), std::string::npos);
}

TEST(WavWriter, AFullDiskIsReported) {
  auto writer = WavWriter::open("/dev/full", 24000);
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kResourceExhausted);
}

TEST(WavReader, ReadsEveryFormat) {
  struct Case {
    Format format;
    uint64_t value;
    float expected;
  };
  const Case cases[] = {
      {{1, 1, 16}, 0x4000, 0.5f},
      {{1, 1, 16}, 0x8000, -1.0f},
      {{1, 1, 24}, 0xC00000, -0.5f},
      {{1, 1, 24}, 0x000001, 0x1.0p-23f},
      {{1, 1, 32}, 0x20000000, 0.25f},
      {{1, 1, 32}, 0x80000000, -1.0f},
      {{3, 1, 32}, 0x3F000000, 0.5f},
      {{1, 1, 24, 48000, true}, 0x400000, 0.5f},
      {{3, 1, 32, 48000, true}, 0xBF000000, -0.5f},
  };
  for (const Case& c : cases) {
    Bytes data;
    append(data, c.value, c.format.bits / 8);
    const auto audio = parse_wav(wav_file(c.format, data), "a.wav");
    ASSERT_TRUE(audio) << audio.error().message;
    EXPECT_EQ(audio->sample_rate_hz, static_cast<int>(c.format.rate_hz));
    EXPECT_EQ(audio->samples, std::vector<float>{c.expected}) << c.format.bits << " bits";
  }
}

TEST(WavReader, MixesChannelsToTheirMean) {
  Bytes data;
  for (const uint64_t value : {0x4000u, 0x2000u, 0xC000u, 0x4000u}) append(data, value, 2);
  data.push_back(1);  // an incomplete block
  const auto audio = parse_wav(wav_file({1, 2, 16}, data), "a.wav");
  ASSERT_TRUE(audio) << audio.error().message;
  EXPECT_EQ(audio->channels, 2);
  EXPECT_EQ(audio->samples, (std::vector<float>{0.375f, 0.0f}));
}

TEST(WavReader, AStreamOfUnknownLengthEndsWithTheFile) {
  Bytes data;
  append(data, 0x4000, 2);
  append(data, 0x4000, 2);
  const auto audio = parse_wav(wav_file({}, data, 0xFFFFFFFF), "a.wav");
  ASSERT_TRUE(audio) << audio.error().message;
  EXPECT_EQ(audio->samples.size(), 2u);
}

TEST(WavReader, SkipsOtherChunks) {
  Bytes file = wav_file({}, {0x00, 0x40});
  Bytes list;
  append(list, "LIST");
  append(list, 3, 4);  // odd: followed by a byte of padding
  append(list, "abc");
  list.push_back(0);
  file.insert(file.begin() + 12, list.begin(), list.end());
  const auto audio = parse_wav(file, "a.wav");
  ASSERT_TRUE(audio) << audio.error().message;
  EXPECT_EQ(audio->samples, std::vector<float>{0.5f});
}

TEST(WavReader, ReadsWhatTheWriterWrote) {
  const auto file = temporary_file("roundtrip.wav");
  const std::vector<float> samples = {0.0f, 0.25f, -0.5f, 1.0f / 32768};
  {
    auto writer = WavWriter::open(file, 24000);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->write(samples));
    ASSERT_TRUE(writer->finish());
  }
  const auto audio = read_wav(file);
  ASSERT_TRUE(audio) << audio.error().message;
  EXPECT_EQ(audio->sample_rate_hz, 24000);
  EXPECT_EQ(audio->samples, samples);
}

TEST(WavReader, EveryTruncationIsAnErrorOrShorterAudio) {
  Bytes data;
  for (int i = 0; i < 4; ++i) append(data, 0x4000, 2);
  const Bytes whole = wav_file({}, data);
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto audio = parse_wav(std::span(whole).first(size), "cut.wav");
    if (size < kWavHeaderBytes) {
      ASSERT_FALSE(audio) << size;
      EXPECT_EQ(audio.error().code, ErrorCode::kDataCorrupt);
      EXPECT_EQ(audio.error().message.rfind("cut.wav: ", 0), 0u) << audio.error().message;
    } else {
      ASSERT_TRUE(audio) << size;
      EXPECT_EQ(audio->samples.size(), (size - kWavHeaderBytes) / 2);
    }
  }
}

std::string parse_error(const Bytes& file) {
  const auto audio = parse_wav(file, "bad.wav");
  return audio ? "no error" : audio.error().message;
}

TEST(WavReader, ErrorsSayWhatWasFound) {
  EXPECT_NE(parse_error(wav_file({6, 1, 8}, {})).find("format tag 6 with 8 bits"),
            std::string::npos);
  EXPECT_NE(parse_error(wav_file({1, 0, 16}, {})).find("0 channels"), std::string::npos);
  EXPECT_NE(parse_error(wav_file({1, 1, 16, 0}, {})).find("sample rate 0 Hz"), std::string::npos);

  Bytes not_finite;
  append(not_finite, 0x7FC00000, 4);
  EXPECT_NE(parse_error(wav_file({3, 1, 32}, not_finite)).find("sample 0 is not a finite number"),
            std::string::npos);

  Bytes huge_chunk = wav_file({}, {});
  std::memcpy(huge_chunk.data() + 12, "junk", 4);
  std::memset(huge_chunk.data() + 16, 0xFF, 4);
  EXPECT_NE(parse_error(huge_chunk).find("chunk at byte 12 claims 4294967295 bytes"),
            std::string::npos);

  Bytes no_format = wav_file({}, {});
  std::memcpy(no_format.data() + 12, "junk", 4);
  EXPECT_NE(parse_error(no_format).find("without a chunk 'fmt '"), std::string::npos);
}

TEST(WavReader, FilesThatCannotBeRead) {
  const auto missing = read_wav("/nonexistent-folder/a.wav");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().message.find("/nonexistent-folder/a.wav"), std::string::npos);
  const auto folder = read_wav(testing::TempDir());
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace lyre
