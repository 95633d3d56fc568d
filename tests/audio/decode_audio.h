#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lyre::test {

struct DecodedAudio {
  std::string error;   // of FFmpeg; empty: none
  std::string format;  // as the file's own bytes say: "mp3", "ogg", "aac", "flac"
  std::string codec;
  int sample_rate_hz = 0;
  int channels = 0;
  std::vector<float> samples;  // what a player would play: without what the file says to leave out
};

/// Decodes a whole file with FFmpeg, which also finds out what it is.
DecodedAudio decode_audio(std::string_view file);

}  // namespace lyre::test
