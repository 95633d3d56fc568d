#include "lyre/audio/audio_format.h"

#include <algorithm>
#include <span>
#include <string>

namespace lyre {
namespace {

/// What an encoding knows, for one channel.
struct Abilities {
  const char* name;
  const char* content_type;
  std::span<const int> rates_hz;  // ascending; empty: every rate from kLeastRateHz to kMostRateHz
  int speech_bit_rate;            // 0: there is no choice
};

// Below telephony nothing is understood, above this nobody listens to one voice.
constexpr int kLeastRateHz = 8'000;
constexpr int kMostRateHz = 48'000;

constexpr int kMp3RatesHz[] = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000};
constexpr int kOpusRatesHz[] = {8000, 12000, 16000, 24000, 48000};
constexpr int kAacRatesHz[] = {7350,  8000,  11025, 12000, 16000, 22050, 24000,
                               32000, 44100, 48000, 64000, 88200, 96000};
// What telephones mean by G.711, and its media types.
constexpr int kG711RatesHz[] = {8000};

/// The bit rates keep the whole band of 24 kHz speech (12 kHz): mp3 and aac cut it below 64 kbit/s,
/// opus needs half of that.
Abilities abilities_of(AudioEncoding encoding) noexcept {
  switch (encoding) {
    case AudioEncoding::kPcm16:
      return {"pcm", "audio/pcm", {}, 0};
    case AudioEncoding::kWav:
      return {"wav", "audio/wav", {}, 0};
    case AudioEncoding::kMp3:
      return {"mp3", "audio/mpeg", kMp3RatesHz, 64'000};
    case AudioEncoding::kOpus:
      return {"opus", "audio/ogg", kOpusRatesHz, 32'000};
    case AudioEncoding::kAac:
      return {"aac", "audio/aac", kAacRatesHz, 64'000};
    case AudioEncoding::kFlac:
      return {"flac", "audio/flac", {}, 0};
    case AudioEncoding::kMulaw:
      return {"mulaw", "audio/basic", kG711RatesHz, 0};
    case AudioEncoding::kAlaw:
      return {"alaw", "audio/x-alaw-basic", kG711RatesHz, 0};
  }
  return {"unknown", "application/octet-stream", {}, 0};
}

struct BitRates {
  int least = 0;
  int most = 0;
};

BitRates bit_rates(AudioEncoding encoding, int rate_hz) noexcept {
  switch (encoding) {
    case AudioEncoding::kMp3:  // MPEG-1, 2 and 2.5
      if (rate_hz >= 32'000) return {32'000, 320'000};
      return {8'000, rate_hz >= 16'000 ? 160'000 : 64'000};
    case AudioEncoding::kOpus:
      return {6'000, 256'000};
    case AudioEncoding::kAac:  // at most 6,144 bits for each 1,024 samples
      return {8'000, 6 * rate_hz};
    default:
      return {};
  }
}

/// The source's own rate, or the lowest above it, so that nothing of the speech is lost.
int nearest_rate(std::span<const int> rates_hz, int source_rate_hz) {
  if (rates_hz.empty()) return source_rate_hz;
  const auto found = std::lower_bound(rates_hz.begin(), rates_hz.end(), source_rate_hz);
  return found == rates_hz.end() ? rates_hz.back() : *found;
}

Error unknown_rate(const Abilities& abilities, int rate_hz) {
  std::string known;
  if (abilities.rates_hz.empty()) {
    known = std::to_string(kLeastRateHz) + " to " + std::to_string(kMostRateHz);
  }
  for (const int rate : abilities.rates_hz) {
    if (!known.empty()) known += rate == abilities.rates_hz.back() ? " or " : ", ";
    known += std::to_string(rate);
  }
  return Error{ErrorCode::kInvalidArgument, std::string(abilities.name) +
                                                ": expected a sample rate of " + known +
                                                " Hz, found " + std::to_string(rate_hz)};
}

}  // namespace

const char* content_type(AudioEncoding encoding) noexcept {
  return abilities_of(encoding).content_type;
}

const char* encoding_name(AudioEncoding encoding) noexcept { return abilities_of(encoding).name; }

Result<AudioFormat> resolve_format(const AudioFormat& format, int source_rate_hz) {
  const Abilities abilities = abilities_of(format.encoding);
  const auto rates = abilities.rates_hz;
  AudioFormat resolved = format;
  if (format.sample_rate_hz == 0) {
    resolved.sample_rate_hz = nearest_rate(rates, source_rate_hz);
  } else {
    const int rate_hz = format.sample_rate_hz;
    const bool known = rates.empty() ? rate_hz == source_rate_hz ||
                                           (rate_hz >= kLeastRateHz && rate_hz <= kMostRateHz)
                                     : std::binary_search(rates.begin(), rates.end(), rate_hz);
    if (!known) return unknown_rate(abilities, rate_hz);
  }
  if (abilities.speech_bit_rate == 0) {
    if (format.bit_rate == 0) return resolved;
    return Error{ErrorCode::kInvalidArgument, std::string(abilities.name) +
                                                  " has no bit rate to choose, found " +
                                                  std::to_string(format.bit_rate)};
  }
  const BitRates range = bit_rates(format.encoding, resolved.sample_rate_hz);
  if (format.bit_rate == 0) {
    resolved.bit_rate = std::min(abilities.speech_bit_rate, range.most);
  } else if (format.bit_rate < range.least || format.bit_rate > range.most) {
    return Error{ErrorCode::kInvalidArgument,
                 std::string(abilities.name) + " at " + std::to_string(resolved.sample_rate_hz) +
                     " Hz: expected a bit rate of " + std::to_string(range.least) + " to " +
                     std::to_string(range.most) + ", found " + std::to_string(format.bit_rate)};
  }
  return resolved;
}

}  // namespace lyre
