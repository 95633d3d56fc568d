#pragma once

#include <cstdint>

#include "lyre/base/result.h"

namespace lyre {

/// What speech may be encoded as.
enum class AudioEncoding : uint8_t {
  kPcm16,  // 16-bit little-endian mono, no header
  kWav,    // the same behind a header of unknown length
  kMp3,
  kOpus,  // in Ogg
  kAac,   // in ADTS
  kFlac,
  kMulaw,  // G.711, no header
  kAlaw,
};

struct AudioFormat {
  AudioEncoding encoding = AudioEncoding::kWav;
  int sample_rate_hz = 0;  // 0: the speech's own, or the nearest that the encoding knows
  int bit_rate = 0;        // bits a second; 0: what suits speech. mp3, opus and aac only
};

/// The media type of an HTTP body.
const char* content_type(AudioEncoding encoding) noexcept;

/// As requests and messages call it: "pcm", "wav", "mp3", "opus", "aac", "flac", "mulaw", "alaw".
const char* encoding_name(AudioEncoding encoding) noexcept;

/// The format with nothing left open: what an encoder of it writes. kInvalidArgument: the encoding
/// does not know the sample rate or the bit rate; the message names those that it knows.
Result<AudioFormat> resolve_format(const AudioFormat& format, int source_rate_hz);

}  // namespace lyre
