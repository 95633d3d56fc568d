#pragma once

#include <filesystem>
#include <functional>
#include <span>

#include "lyre/audio/pcm_channel.h"
#include "lyre/base/api.h"
#include "lyre/base/result.h"
#include "lyre/engine/engine.h"

namespace lyre {

// Engine::submit() for programs that may wait: both functions block the caller until the speech
// has ended. Any thread; calls on several threads are spoken side by side.

/// Gets the samples as they come, mono in [-1, 1] at EngineInfo::sample_rate_hz, on the thread that
/// called speak(); false cancels. While it runs the speech goes on, as far as
/// EngineConfig::buffer_seconds ahead. The span is valid until it returns.
using OnSamples = std::function<bool(std::span<const float> samples)>;

/// Speaks to a function. SpeechSummary::reason tells whether the speech was cut at a limit. Errors:
/// those of submit(); kCancelled if `on_samples` returned false; whatever ended the speech.
LYRE_API Result<SpeechSummary> speak(Engine& engine, SynthesisRequest request,
                                     const OnSamples& on_samples);

/// Speaks to a file: 16-bit mono WAV, "-" is standard output. An existing file is overwritten, but
/// not before there is audio. After an error the file holds what was spoken until then, if anything
/// was. kInternal if the model ended without any speech.
LYRE_API Result<SpeechSummary> speak_to_wav(Engine& engine, SynthesisRequest request,
                                            const std::filesystem::path& file);

}  // namespace lyre
