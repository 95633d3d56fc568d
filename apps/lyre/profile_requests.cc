#include "lyre/profile_requests.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "lyre/base/clock.h"
#include "lyre/base/trace.h"

namespace lyre::command {
namespace {

constinit trace::Operation kWaitAudio("wait.audio"), kRead("reader.read", "samples");

Result<ProfiledRequest> speak_once(Engine& engine, const std::string& text,
                                   std::optional<uint64_t> seed) {
  SynthesisRequest request;
  request.text = text;
  request.sampling.seed = seed;
  std::vector<float> samples;
  ProfiledRequest result;
  const TimePoint start = Clock::now();
  LYRE_ASSIGN_OR_RETURN(Speech speech, engine.submit(std::move(request)));
  for (;;) {
    {
      const trace::Span span(kWaitAudio);
      if (!speech.pcm.wait_readable()) break;
    }
    if (result.chunk_samples.empty()) result.first_audio_ms = milliseconds_since(start);
    trace::Span span(kRead);
    samples.resize(std::max(samples.size(), speech.pcm.readable()));
    const auto count = static_cast<int64_t>(speech.pcm.try_read(samples));
    span.set_argument(0, count);
    result.chunk_samples.push_back(count);
  }
  result.total_ms = milliseconds_since(start);
  if (speech.pcm.state() == PcmSource::State::kFailed) return speech.pcm.error();
  const SpeechSummary& summary = speech.pcm.summary();
  if (summary.samples == 0) {
    return Error{ErrorCode::kInternal, "a request ended without any speech; try another --seed"};
  }
  result.audio_s = static_cast<double>(summary.samples) / engine.info().sample_rate_hz;
  result.tokens = summary.generated_tokens;
  result.frames = summary.frames;
  result.cut = summary.reason == FinishReason::kLength;
  return result;
}

}  // namespace

Result<std::vector<ProfiledRequest>> profile_requests(Engine& engine,
                                                      std::span<const std::string> texts,
                                                      const ProfileLoad& load, bool seeded) {
  std::vector<ProfiledRequest> requests(static_cast<size_t>(load.streams) *
                                        static_cast<size_t>(load.runs));
  std::mutex mutex;
  std::optional<Error> failure;
  std::atomic<bool> failed{false};
  {
    std::vector<std::jthread> readers;
    for (int stream = 0; stream < load.streams; ++stream) {
      readers.emplace_back([&, stream] {
        trace::name_thread("reader " + std::to_string(stream));
        for (int run = 0; run < load.runs && !failed; ++run) {
          const auto number = static_cast<size_t>(run * load.streams + stream);
          const auto seed =
              seeded ? std::optional<uint64_t>() : std::optional<uint64_t>(number + 1);
          auto request = speak_once(engine, texts[number % texts.size()], seed);
          if (request) {
            requests[static_cast<size_t>(stream * load.runs + run)] = *std::move(request);
            continue;
          }
          failed = true;
          const std::lock_guard lock(mutex);
          if (!failure) failure = request.error();
        }
      });
    }
  }
  if (failure) return *failure;
  return requests;
}

ChunkSizes chunk_sizes(std::span<const ProfiledRequest> requests) {
  ChunkSizes sizes;
  for (const ProfiledRequest& request : requests) {
    for (const int64_t samples : request.chunk_samples) {
      sizes.min = sizes.count == 0 ? samples : std::min(sizes.min, samples);
      sizes.max = std::max(sizes.max, samples);
      sizes.samples += samples;
      ++sizes.count;
    }
  }
  return sizes;
}

}  // namespace lyre::command
