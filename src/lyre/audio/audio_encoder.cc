#include "lyre/audio/audio_encoder.h"

#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "lyre/audio/ffmpeg_encoder.h"
#include "lyre/audio/g711.h"
#include "lyre/audio/pcm16.h"
#include "lyre/audio/resampler.h"
#include "lyre/audio/time_stretch.h"
#include "lyre/audio/wav.h"

namespace lyre {
namespace {

/// pcm, and wav with its header before.
struct PcmEncoder {
  std::optional<int> header_rate_hz;

  Status encode(std::span<const float> samples, std::string& out) {
    if (header_rate_hz) {
      const auto header = wav_header(*std::exchange(header_rate_hz, std::nullopt), std::nullopt);
      out.append(reinterpret_cast<const char*>(header.data()), header.size());
    }
    const size_t start = out.size();
    out.resize(start + samples.size() * kPcm16BytesPerSample);
    write_pcm16_le(samples, {reinterpret_cast<uint8_t*>(out.data() + start), out.size() - start});
    return ok_status();
  }
  Status finish(std::string& out) { return encode({}, out); }
};

struct G711Encoder {
  uint8_t (*code)(int16_t sample) noexcept;

  Status encode(std::span<const float> samples, std::string& out) const {
    for (const float sample : samples) out += static_cast<char>(code(pcm16_from_float(sample)));
    return ok_status();
  }
  Status finish(std::string&) const { return ok_status(); }
};

using Encoder = std::variant<PcmEncoder, G711Encoder, FfmpegEncoder>;

Result<Encoder> open_encoder(const AudioFormat& format) {
  switch (format.encoding) {
    case AudioEncoding::kPcm16:
      return Encoder(PcmEncoder{});
    case AudioEncoding::kWav:
      return Encoder(PcmEncoder{format.sample_rate_hz});
    case AudioEncoding::kMulaw:
      return Encoder(G711Encoder{mulaw_from_pcm16});
    case AudioEncoding::kAlaw:
      return Encoder(G711Encoder{alaw_from_pcm16});
    default: {
      LYRE_ASSIGN_OR_RETURN(FfmpegEncoder encoder, FfmpegEncoder::open(format));
      return Encoder(std::move(encoder));
    }
  }
}

}  // namespace

/// Time stretch, resampler, encoder: those that are needed, one behind the other.
class AudioEncoder::Impl {
 public:
  Impl(Encoder encoder, std::optional<Resampler> resampler, std::optional<TimeStretch> stretch)
      : encoder_(std::move(encoder)),
        resampler_(std::move(resampler)),
        stretch_(std::move(stretch)) {}

  Status encode(std::span<const float> samples, std::string& out) {
    if (stretch_) {
      stretched_.clear();
      stretch_->push(samples, stretched_);
      samples = stretched_;
    }
    return resample(samples, out);
  }

  Status finish(std::string& out) {
    if (stretch_) {
      stretched_.clear();
      stretch_->finish(stretched_);
      LYRE_RETURN_IF_ERROR(resample(stretched_, out));
    }
    if (resampler_) {
      resampled_.clear();
      LYRE_RETURN_IF_ERROR(resampler_->finish(resampled_));
      LYRE_RETURN_IF_ERROR(write(resampled_, out));
    }
    return std::visit([&](auto& encoder) { return encoder.finish(out); }, encoder_);
  }

 private:
  Status resample(std::span<const float> samples, std::string& out) {
    if (!resampler_) return write(samples, out);
    resampled_.clear();
    LYRE_RETURN_IF_ERROR(resampler_->push(samples, resampled_));
    return write(resampled_, out);
  }

  Status write(std::span<const float> samples, std::string& out) {
    return std::visit([&](auto& encoder) { return encoder.encode(samples, out); }, encoder_);
  }

  Encoder encoder_;
  std::optional<Resampler> resampler_;
  std::optional<TimeStretch> stretch_;
  std::vector<float> stretched_, resampled_;  // of one call
};

AudioEncoder::AudioEncoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AudioEncoder::~AudioEncoder() = default;
AudioEncoder::AudioEncoder(AudioEncoder&&) noexcept = default;
AudioEncoder& AudioEncoder::operator=(AudioEncoder&&) noexcept = default;

Result<AudioEncoder> AudioEncoder::open(const AudioFormat& format, int source_rate_hz,
                                        double speed) {
  // Written so that a NaN is refused.
  if (!(speed >= TimeStretch::kLeastSpeed && speed <= TimeStretch::kMostSpeed)) {
    return Error{ErrorCode::kInvalidArgument,
                 "expected a speed of 0.25 to 4, found " + std::to_string(speed)};
  }
  LYRE_ASSIGN_OR_RETURN(const AudioFormat resolved, resolve_format(format, source_rate_hz));
  std::optional<TimeStretch> stretch;
  if (speed != 1.0) stretch.emplace(source_rate_hz, speed);
  std::optional<Resampler> resampler;
  if (resolved.sample_rate_hz != source_rate_hz) {
    LYRE_ASSIGN_OR_RETURN(resampler, Resampler::open(source_rate_hz, resolved.sample_rate_hz));
  }
  LYRE_ASSIGN_OR_RETURN(Encoder encoder, open_encoder(resolved));
  return AudioEncoder(
      std::make_unique<Impl>(std::move(encoder), std::move(resampler), std::move(stretch)));
}

Status AudioEncoder::encode(std::span<const float> samples, std::string& out) {
  return impl_->encode(samples, out);
}

Status AudioEncoder::finish(std::string& out) { return impl_->finish(out); }

}  // namespace lyre
