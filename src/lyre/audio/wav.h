#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lyre/base/api.h"
#include "lyre/base/result.h"

namespace lyre {

inline constexpr size_t kWavHeaderBytes = 44;

/// RIFF/WAVE header of 16-bit mono PCM. Without a length (a stream whose end is not known yet), or
/// with one that 32 bits do not hold, both sizes are 0xFFFFFFFF: players and decoders (FFmpeg, VLC,
/// browsers, sox) take that as "until the end of the stream", while 0 makes several of them play
/// nothing.
LYRE_API std::array<uint8_t, kWavHeaderBytes> wav_header(int sample_rate_hz,
                                                         std::optional<int64_t> samples);

/// Writes 16-bit mono PCM to a file or a pipe. The sizes in the header are patched at the end where
/// the output can seek; a pipe keeps the header of a stream. One thread.
class LYRE_API WavWriter {
 public:
  /// "-" is standard output. Errors name the file.
  static Result<WavWriter> open(const std::filesystem::path& file, int sample_rate_hz);
  WavWriter(WavWriter&& other) noexcept;
  WavWriter& operator=(WavWriter&&) = delete;
  ~WavWriter();  // finishes, if that was not done

  Status write(std::span<const float> samples);
  /// Patches the sizes and closes. Only this tells whether everything reached the file.
  Status finish();
  int64_t samples() const noexcept { return samples_; }

 private:
  WavWriter(int descriptor, std::string name, int sample_rate_hz, int64_t start);

  int descriptor_;    // -1: finished
  std::string name_;  // for errors
  int sample_rate_hz_;
  int64_t start_;  // offset of the header; -1: the output cannot seek
  int64_t samples_ = 0;
};

struct WavAudio {
  int sample_rate_hz = 0;
  int channels = 0;            // of the file
  std::vector<float> samples;  // mono: the mean of the channels, in [-1, 1]
};

/// Reads PCM of 16, 24 or 32 bits or float of 32 bits (also as WAVE_FORMAT_EXTENSIBLE). A data
/// chunk of unknown length (0xFFFFFFFF, or longer than the file) ends with the file. `name` stands
/// in error messages.
LYRE_API Result<WavAudio> parse_wav(std::span<const uint8_t> bytes, const std::string& name);
/// The same from a file; "-" is standard input.
LYRE_API Result<WavAudio> read_wav(const std::filesystem::path& file);

}  // namespace lyre
