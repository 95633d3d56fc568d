#include "lyre/server/audio_body.h"

#include "lyre/audio/pcm16.h"
#include "lyre/audio/wav.h"

namespace lyre::server {

const char* content_type(AudioFormat format) {
  return format == AudioFormat::kWav ? "audio/wav" : "audio/pcm";
}

void append_audio_start(AudioFormat format, int sample_rate_hz, std::string& out) {
  if (format != AudioFormat::kWav) return;
  const auto header = wav_header(sample_rate_hz, std::nullopt);
  out.append(reinterpret_cast<const char*>(header.data()), header.size());
}

void append_audio(AudioFormat, std::span<const float> samples, std::string& out) {
  const size_t start = out.size();
  out.resize(start + samples.size() * kPcm16BytesPerSample);
  write_pcm16_le(samples, {reinterpret_cast<uint8_t*>(out.data() + start), out.size() - start});
}

}  // namespace lyre::server
