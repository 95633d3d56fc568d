#include "lyre/audio/audio_format.h"

namespace lyre {

const char* content_type(AudioEncoding encoding) noexcept {
  switch (encoding) {
    case AudioEncoding::kPcm16:
      return "audio/pcm";
    case AudioEncoding::kWav:
      return "audio/wav";
    case AudioEncoding::kMp3:
      return "audio/mpeg";
    case AudioEncoding::kOpus:
      return "audio/ogg";
    case AudioEncoding::kAac:
      return "audio/aac";
    case AudioEncoding::kFlac:
      return "audio/flac";
    case AudioEncoding::kMulaw:
      return "audio/basic";
    case AudioEncoding::kAlaw:
      return "audio/x-alaw-basic";
  }
  return "application/octet-stream";
}

}  // namespace lyre
