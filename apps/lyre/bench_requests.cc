#include "lyre/bench_requests.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lyre/base/clock.h"

namespace lyre::command {
namespace {

struct OneRequest {
  double first_audio_ms = 0;
  double total_ms = 0;
  double silence_ms = 0;
  double audio_s = 0;
  int64_t tokens = 0;
};

Result<OneRequest> speak_once(Engine& engine, const std::string& text, uint64_t seed) {
  SynthesisRequest request;
  request.text = text;
  request.sampling.seed = seed;
  const TimePoint start = Clock::now();
  LYRE_ASSIGN_OR_RETURN(Speech speech, engine.submit(std::move(request)));
  OneRequest result;
  std::vector<float> samples;
  while (speech.pcm.wait_readable()) {
    if (samples.empty()) result.first_audio_ms = milliseconds_since(start);
    const size_t before = samples.size();
    samples.resize(before + speech.pcm.readable());
    samples.resize(before + speech.pcm.try_read(std::span(samples).subspan(before)));
  }
  result.total_ms = milliseconds_since(start);
  if (speech.pcm.state() == PcmSource::State::kFailed) return speech.pcm.error();
  if (samples.empty()) {
    return Error{ErrorCode::kInternal, "a request of the benchmark gave no speech"};
  }
  const int rate = engine.info().sample_rate_hz;
  result.audio_s = static_cast<double>(samples.size()) / rate;
  result.silence_ms = 1000.0 * static_cast<double>(first_audible_sample(samples, rate)) / rate;
  result.tokens = speech.pcm.summary().generated_tokens;
  return result;
}

}  // namespace

Result<RequestSpeed> measure_requests(Engine& engine, std::span<const std::string> texts,
                                      int requests) {
  RequestSpeed speed;
  speed.requests = requests;
  std::vector<double> first_audio_ms, silence_ms, real_time_factor;
  double all_ms = 0;
  int64_t tokens = 0;
  for (int i = -1; i < requests; ++i) {
    const size_t text = static_cast<size_t>(std::max(i, 0)) % texts.size();
    LYRE_ASSIGN_OR_RETURN(const OneRequest one,
                          speak_once(engine, texts[text], static_cast<uint64_t>(i + 1)));
    if (i < 0) {
      speed.first_request_ms = one.first_audio_ms;
      continue;
    }
    first_audio_ms.push_back(one.first_audio_ms);
    silence_ms.push_back(one.silence_ms);
    real_time_factor.push_back(one.total_ms / 1000 / one.audio_s);
    all_ms += one.total_ms;
    tokens += one.tokens;
    speed.audio_s += one.audio_s;
  }
  speed.first_audio_ms = quantiles(std::move(first_audio_ms));
  speed.silence_ms = quantiles(std::move(silence_ms));
  speed.real_time_factor = quantiles(std::move(real_time_factor));
  speed.tokens_per_s = static_cast<double>(tokens) / (all_ms / 1000);
  return speed;
}

size_t first_audible_sample(std::span<const float> samples, int sample_rate_hz) {
  const double threshold = std::pow(10.0, -50.0 / 20.0);  // of full scale, as RMS
  const auto window = static_cast<size_t>(sample_rate_hz / 100);
  double energy = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    energy += static_cast<double>(samples[i]) * samples[i];
    if (i >= window) energy -= static_cast<double>(samples[i - window]) * samples[i - window];
    const bool full = i + 1 >= window;
    if (full && std::sqrt(std::max(energy, 0.0) / static_cast<double>(window)) > threshold) {
      return i + 1 - window;
    }
  }
  return samples.size();
}

}  // namespace lyre::command
