#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lyre::server {

/// What the body of a speech response may be. The other formats of the OpenAI contract join here.
enum class AudioFormat : uint8_t {
  kWav,  // header of unknown length, then 16-bit little-endian mono
  kPcm,  // the same without header
};

const char* content_type(AudioFormat format);

/// Appends what comes before the first sample.
void append_audio_start(AudioFormat format, int sample_rate_hz, std::string& out);
/// Appends samples in [-1, 1].
void append_audio(AudioFormat format, std::span<const float> samples, std::string& out);

}  // namespace lyre::server
