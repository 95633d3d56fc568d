#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <system_error>

#include "lyre/audio/wav.h"

namespace lyre {
namespace {

// Format tags of the Windows multimedia registry (mmreg.h).
constexpr uint32_t kFormatPcm = 1, kFormatFloat = 3, kFormatExtensible = 0xFFFE;

struct SampleFormat {
  uint32_t tag = 0;
  int channels = 0;
  uint32_t rate_hz = 0;
  int bytes = 0;  // of one sample of one channel
};

uint32_t little_endian(std::span<const uint8_t> bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) value |= uint32_t{bytes[i]} << (8 * i);
  return value;
}

bool has_tag(std::span<const uint8_t> bytes, std::string_view tag) {
  return bytes.size() >= tag.size() && std::memcmp(bytes.data(), tag.data(), tag.size()) == 0;
}

Error corrupt(const std::string& name, const std::string& what) {
  return Error{ErrorCode::kDataCorrupt, name + ": " + what};
}

Result<SampleFormat> parse_format(std::span<const uint8_t> chunk, const std::string& name) {
  if (chunk.size() < 16) {
    return corrupt(
        name, "chunk 'fmt ' has " + std::to_string(chunk.size()) + " bytes, expected at least 16");
  }
  SampleFormat format;
  format.tag = little_endian(chunk.subspan(0, 2));
  format.channels = static_cast<int>(little_endian(chunk.subspan(2, 2)));
  format.rate_hz = little_endian(chunk.subspan(4, 4));
  const auto block_bytes = static_cast<int>(little_endian(chunk.subspan(12, 2)));
  const auto bits = static_cast<int>(little_endian(chunk.subspan(14, 2)));
  if (format.tag == kFormatExtensible) {
    // The real tag is in the first two bytes of the sub-format GUID.
    if (chunk.size() < 40) {
      return corrupt(name, "chunk 'fmt ' has " + std::to_string(chunk.size()) +
                               " bytes, expected 40 for an extensible format");
    }
    format.tag = little_endian(chunk.subspan(24, 2));
  }
  const bool known = (format.tag == kFormatPcm && (bits == 16 || bits == 24 || bits == 32)) ||
                     (format.tag == kFormatFloat && bits == 32);
  if (!known) {
    return Error{ErrorCode::kInvalidArgument,
                 name + ": format tag " + std::to_string(format.tag) + " with " +
                     std::to_string(bits) +
                     " bits, expected PCM of 16, 24 or 32 bits or float of 32 bits"};
  }
  format.bytes = bits / 8;
  if (format.channels < 1 || block_bytes != format.channels * format.bytes) {
    return corrupt(name, std::to_string(format.channels) + " channels in blocks of " +
                             std::to_string(block_bytes) + " bytes, expected at least one of " +
                             std::to_string(format.bytes) + " bytes each");
  }
  constexpr uint32_t kMostRateHz = 1'000'000;
  if (format.rate_hz == 0 || format.rate_hz > kMostRateHz) {
    return corrupt(name, "sample rate " + std::to_string(format.rate_hz) + " Hz, expected 1 to " +
                             std::to_string(kMostRateHz));
  }
  return format;
}

float read_sample(std::span<const uint8_t> bytes, const SampleFormat& format) {
  if (format.tag == kFormatFloat) return std::bit_cast<float>(little_endian(bytes));
  // The value in the upper bits of 32 has its sign where the integer has it.
  const int shift = 32 - 8 * format.bytes;
  const auto value = static_cast<int32_t>(little_endian(bytes) << shift);
  return static_cast<float>(static_cast<double>(value) * 0x1.0p-31);
}

std::vector<float> mixed_samples(std::span<const uint8_t> data, const SampleFormat& format) {
  const auto block = static_cast<size_t>(format.channels * format.bytes);
  std::vector<float> samples(data.size() / block);  // an incomplete last block is left out
  for (size_t i = 0; i < samples.size(); ++i) {
    double sum = 0;
    for (int channel = 0; channel < format.channels; ++channel) {
      const size_t at = i * block + static_cast<size_t>(channel * format.bytes);
      sum += read_sample(data.subspan(at, static_cast<size_t>(format.bytes)), format);
    }
    samples[i] = static_cast<float>(sum / format.channels);
  }
  return samples;
}

}  // namespace

Result<WavAudio> parse_wav(std::span<const uint8_t> bytes, const std::string& name) {
  if (bytes.size() < 12 || !has_tag(bytes, "RIFF") || !has_tag(bytes.subspan(8), "WAVE")) {
    return corrupt(name, "not a WAV file: expected 'RIFF' and 'WAVE' in its first 12 bytes");
  }
  std::optional<SampleFormat> format;
  for (size_t at = 12; bytes.size() - at >= 8;) {
    const auto head = bytes.subspan(at, 8);
    const size_t size = little_endian(head.subspan(4, 4));
    const auto rest = bytes.subspan(at + 8);
    const auto chunk = rest.first(std::min(size, rest.size()));
    if (has_tag(head, "data")) {
      if (!format) return corrupt(name, "chunk 'data' without a chunk 'fmt ' before it");
      WavAudio audio{static_cast<int>(format->rate_hz), format->channels,
                     mixed_samples(chunk, *format)};
      for (size_t i = 0; i < audio.samples.size(); ++i) {
        if (!std::isfinite(audio.samples[i])) {
          return corrupt(name, "sample " + std::to_string(i) + " is not a finite number");
        }
      }
      return audio;
    }
    if (size > rest.size()) {
      return corrupt(name, "chunk at byte " + std::to_string(at) + " claims " +
                               std::to_string(size) + " bytes, the file has " +
                               std::to_string(rest.size()) + " more");
    }
    if (has_tag(head, "fmt ")) {
      LYRE_ASSIGN_OR_RETURN(format, parse_format(chunk, name));
    }
    at += 8 + size + size % 2;  // chunks begin at even offsets
    if (at > bytes.size()) break;
  }
  return corrupt(name, "no chunk 'data'");
}

Result<WavAudio> read_wav(const std::filesystem::path& file) {
  const bool standard_input = file == "-";
  const std::string name = standard_input ? "standard input" : file.string();
  const std::unique_ptr<std::FILE, void (*)(std::FILE*)> opened(
      standard_input ? nullptr : std::fopen(file.c_str(), "rb"),
      [](std::FILE* f) { static_cast<void>(std::fclose(f)); });
  std::FILE* const stream = standard_input ? stdin : opened.get();
  const auto failed = [&](const char* what) {
    return Error{errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kInvalidArgument,
                 name + ": " + what + ": " + std::generic_category().message(errno)};
  };
  if (stream == nullptr) return failed("cannot open for reading");
  std::vector<uint8_t> bytes;
  constexpr size_t kReadBytes = 1 << 16;
  for (size_t got = kReadBytes; got > 0;) {
    const size_t had = bytes.size();
    bytes.resize(had + kReadBytes);
    got = std::fread(bytes.data() + had, 1, kReadBytes, stream);
    bytes.resize(had + got);
  }
  if (std::ferror(stream) != 0) return failed("cannot read");
  return parse_wav(bytes, name);
}

}  // namespace lyre
