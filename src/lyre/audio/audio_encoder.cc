#include "lyre/audio/audio_encoder.h"

#include <utility>

#include "lyre/audio/pcm16.h"
#include "lyre/audio/wav.h"

namespace lyre {

class AudioEncoder::Impl {
 public:
  Impl(AudioEncoding encoding, int sample_rate_hz)
      : encoding_(encoding), sample_rate_hz_(sample_rate_hz) {}

  void encode(std::span<const float> samples, std::string& out) {
    if (encoding_ == AudioEncoding::kWav && !begun_) {
      const auto header = wav_header(sample_rate_hz_, std::nullopt);
      out.append(reinterpret_cast<const char*>(header.data()), header.size());
    }
    begun_ = true;
    const size_t start = out.size();
    out.resize(start + samples.size() * kPcm16BytesPerSample);
    write_pcm16_le(samples, {reinterpret_cast<uint8_t*>(out.data() + start), out.size() - start});
  }

 private:
  const AudioEncoding encoding_;
  const int sample_rate_hz_;
  bool begun_ = false;
};

AudioEncoder::AudioEncoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AudioEncoder::~AudioEncoder() = default;
AudioEncoder::AudioEncoder(AudioEncoder&&) noexcept = default;
AudioEncoder& AudioEncoder::operator=(AudioEncoder&&) noexcept = default;

Result<AudioEncoder> AudioEncoder::open(const AudioFormat& format, int source_rate_hz,
                                        double speed) {
  const bool raw =
      format.encoding == AudioEncoding::kPcm16 || format.encoding == AudioEncoding::kWav;
  if (!raw) return Error{ErrorCode::kInvalidArgument, "expected wav or pcm"};
  if (speed != 1.0) return Error{ErrorCode::kInvalidArgument, "expected a speed of 1"};
  return AudioEncoder(std::make_unique<Impl>(format.encoding, source_rate_hz));
}

Status AudioEncoder::encode(std::span<const float> samples, std::string& out) {
  impl_->encode(samples, out);
  return ok_status();
}

Status AudioEncoder::finish(std::string& out) {
  impl_->encode({}, out);
  return ok_status();
}

}  // namespace lyre
