#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "lyre/audio/wav.h"
#include "lyre/base/result.h"

namespace lyre::command {

/// The file that `say` writes: WAV, or raw 16-bit samples. Opened at the first samples, so that a
/// request that fails leaves an older file alone.
class SpeechOutput {
 public:
  /// "-" is standard output.
  SpeechOutput(std::filesystem::path file, bool raw, int sample_rate_hz)
      : file_(std::move(file)), raw_(raw), sample_rate_hz_(sample_rate_hz) {}
  ~SpeechOutput();
  SpeechOutput(const SpeechOutput&) = delete;
  SpeechOutput& operator=(const SpeechOutput&) = delete;

  Status write(std::span<const float> samples);
  /// Only this tells whether everything reached the file.
  Status finish();
  bool opened() const noexcept { return wav_.has_value() || descriptor_ >= 0; }

 private:
  Status open();
  Status write_raw(std::span<const float> samples);

  std::filesystem::path file_;
  bool raw_;
  int sample_rate_hz_;
  std::optional<WavWriter> wav_;
  int descriptor_ = -1;  // raw
  std::vector<uint8_t> bytes_;
};

/// speech.wav, or speech-2.wav, ... : the first that does not exist in the current folder. A name
/// that was not asked for never overwrites anything.
std::filesystem::path free_output_name(const std::filesystem::path& folder, bool raw);

}  // namespace lyre::command
