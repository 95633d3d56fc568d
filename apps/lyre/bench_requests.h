#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/engine/engine.h"
#include "lyre/quantiles.h"

namespace lyre::command {

/// Whole requests through the engine, one after another, read as fast as they come.
struct RequestSpeed {
  int requests = 0;
  double first_request_ms = 0;  // time to first audio of the very first request
  Quantiles first_audio_ms;     // submit until the reader has samples
  Quantiles silence_ms;         // of the audio before its first audible sample
  Quantiles real_time_factor;   // time until the last sample over the length of the audio
  double tokens_per_s = 0;      // speech tokens over the time of all requests
  double audio_s = 0;
};

/// The first request counts for first_request_ms only; `requests` more are measured. Request i
/// speaks texts[i % size] with seed i.
Result<RequestSpeed> measure_requests(Engine& engine, std::span<const std::string> texts,
                                      int requests);

/// Index of the first sample of the first 10 ms louder than -50 dBFS; samples.size() if there are
/// none.
size_t first_audible_sample(std::span<const float> samples, int sample_rate_hz);

}  // namespace lyre::command
