#pragma once

#include <functional>
#include <span>
#include <string>

#include "lyre/audio/audio_encoder.h"
#include "lyre/audio/pcm_channel.h"
#include "lyre/base/result.h"

namespace lyre::server {

/// How the samples of a speech become the bytes of a body: what a protocol says about its audio, as
/// functions that append bytes. Called one after another, on one thread.
struct SpeechBody {
  /// May append nothing. An error ends the speech as a failed one.
  std::function<Status(std::span<const float> samples, std::string& out)> write;
  /// After the last samples.
  std::function<Status(const SpeechSummary& summary, std::string& out)> end;
  /// The speech failed after the first bytes went out. Empty: the body breaks off, so that nobody
  /// takes what came for the whole.
  std::function<void(const Error& error, std::string& out)> fail;
};

/// The encoded file as it is.
SpeechBody plain_body(AudioEncoder encoder);

}  // namespace lyre::server
