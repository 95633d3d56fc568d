#pragma once

#include <string_view>

#include "lyre/audio/audio_format.h"
#include "lyre/base/result.h"

namespace lyre::server {

/// What the ElevenLabs API speaks if nobody asks for another.
inline constexpr std::string_view kElevenLabsDefaultFormat = "mp3_44100_128";

/// The format that the ElevenLabs API calls so: "mp3_44100_128", "pcm_24000", "ulaw_8000".
/// kInvalidArgument: there is none; the message lists them.
Result<AudioFormat> elevenlabs_format(std::string_view name);

}  // namespace lyre::server
