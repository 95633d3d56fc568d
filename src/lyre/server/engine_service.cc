#include "lyre/server/engine_service.h"

#include <chrono>
#include <memory>
#include <utility>

namespace lyre::server {
namespace {

ServiceInfo service_info(const EngineInfo& engine) {
  ServiceInfo info;
  info.model = engine.model_name;
  for (const VoiceInfo& voice : engine.voices) {
    info.voices.push_back({voice.name, voice.description, voice.language, voice.gender});
  }
  info.default_voice = engine.default_voice;
  info.sample_rate_hz = engine.sample_rate_hz;
  info.max_text_bytes = engine.max_text_bytes;
  info.max_batch = engine.max_batch;
  info.created_unix_s = std::chrono::duration_cast<std::chrono::seconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count();
  return info;
}

MoreText more_text(SpeechText text) {
  // std::function asks for copies; the text is never copied.
  const auto shared = std::make_shared<SpeechText>(std::move(text));
  return {.append = [shared](std::string_view piece) { return shared->append(piece); },
          .flush = [shared] { return shared->flush(); },
          .finish = [shared] { return shared->finish(); },
          .idle = [shared] { return shared->idle(); }};
}

Result<SpokenAudio> speak(Engine& engine, SpeechRequest request) {
  SynthesisRequest synthesis;
  synthesis.text = std::move(request.text);
  synthesis.voice = std::move(request.voice);
  synthesis.description = std::move(request.description);
  synthesis.sampling = request.sampling;
  synthesis.max_tokens = request.max_tokens;
  synthesis.fast_start = request.fast_start;
  synthesis.warm_up = request.warm_up;
  synthesis.more_text = request.more_text;
  LYRE_ASSIGN_OR_RETURN(Speech speech, engine.submit(std::move(synthesis)));
  SpokenAudio audio{std::move(speech.pcm), speech.seed, std::move(speech.voice), {}};
  if (request.more_text) audio.more = more_text(std::move(speech.more));
  return audio;
}

ServiceLoad service_load(const EngineStats& stats) {
  ServiceLoad load;
  load.running = stats.running;
  load.queued = stats.queued;
  load.requests_submitted = stats.requests_submitted;
  load.requests_finished = stats.requests_finished;
  load.requests_failed = stats.requests_failed;
  load.requests_cancelled = stats.requests_cancelled;
  load.requests_cut = stats.requests_cut;
  load.free_kv_tokens = stats.free_kv_tokens;
  load.total_kv_tokens = stats.total_kv_tokens;
  load.free_sequences = stats.free_sequences;
  load.keep_warm_runs = stats.keep_warm_runs;
  load.keep_warm_seconds = stats.keep_warm_seconds;
  return load;
}

}  // namespace

SpeechService serve_engine(Engine& engine) {
  SpeechService service;
  service.info = service_info(engine.info());
  service.speak = [&engine](SpeechRequest request) { return speak(engine, std::move(request)); };
  service.load = [&engine] { return service_load(engine.stats()); };
  service.health = [&engine] { return engine.health(); };
  service.warm_up = [&engine](const WarmupOptions& options) {
    return engine.warmup_models(options);
  };
  return service;
}

}  // namespace lyre::server
