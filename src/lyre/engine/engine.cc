#include "lyre/engine/engine.h"

#include <algorithm>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <stop_token>
#include <utility>

#include "lyre/engine/engine_parts.h"
#include "lyre/engine/engine_warmup.h"
#include "lyre/engine/keep_warm.h"
#include "lyre/engine/prepare_request.h"
#include "lyre/engine/speech_loop.h"
#include "lyre/engine/speech_text.h"
#include "lyre/engine/warmup_steps.h"

namespace lyre {
Status validate(const EngineConfig& config) {
  struct Limit {
    const char* field;
    int value, least;
  };
  for (const Limit& limit :
       {Limit{"max_batch", config.max_batch, 1},
        {"max_sequence_tokens", config.max_sequence_tokens, 64},
        {"max_queue", config.max_queue, 0},
        {"device", config.device, 0},
        {"max_text_bytes", config.max_text_bytes, 1},
        {"segment_characters", config.segment_characters, 16},
        {"first_chunk_frames", config.first_chunk_frames, 1},
        {"text_pacing.first_clause_characters", config.text_pacing.first_clause_characters, 1},
        {"text_pacing.first_most_characters", config.text_pacing.first_most_characters, 16},
        {"text_pacing.least_characters", config.text_pacing.least_characters, 1},
        {"text_pacing.clause_characters", config.text_pacing.clause_characters, 1},
        {"text_pacing.most_characters", config.text_pacing.most_characters, 16}}) {
    if (limit.value >= limit.least) continue;
    return Error{ErrorCode::kInvalidArgument, std::string(limit.field) + ": expected at least " +
                                                  std::to_string(limit.least) + ", found " +
                                                  std::to_string(limit.value)};
  }
  if (config.kv_tokens < 0) {
    return Error{ErrorCode::kInvalidArgument,
                 "kv_tokens: expected at least 0, found " + std::to_string(config.kv_tokens)};
  }
  if (!(config.buffer_seconds >= 0 && config.buffer_seconds <= 3600)) {
    return Error{ErrorCode::kInvalidArgument, "buffer_seconds: expected 0 to 3600, found " +
                                                  std::to_string(config.buffer_seconds)};
  }
  if (!(config.keep_warm_seconds >= 0 && config.keep_warm_seconds <= 86'400)) {
    return Error{ErrorCode::kInvalidArgument, "keep_warm_seconds: expected 0 to 86400, found " +
                                                  std::to_string(config.keep_warm_seconds)};
  }
  if (const auto faults = WarmupFaults::parse(config.warmup_faults); !faults) return faults.error();
  return ok_status();
}

namespace {

int most_sequence_tokens(const EngineConfig& config, const LanguageModelInfo& model) {
  return std::min(config.max_sequence_tokens, model.max_sequence_tokens);
}

Status check_parts(const EngineConfig& config, const EngineParts& parts) {
  const LanguageModelInfo& model = parts.language_model->info();
  const CodecInfo& codec = parts.codec->info();
  const CodeLayout& layout = parts.prompts.layout;
  if (layout.codebook_size != codec.codebook_size) {
    return Error{ErrorCode::kDataCorrupt,
                 "codec: expected a codebook of " + std::to_string(layout.codebook_size) +
                     ", as the prompts have it, found " + std::to_string(codec.codebook_size)};
  }
  if (layout.first_code < 0 || layout.end() > model.vocabulary) {
    return Error{ErrorCode::kDataCorrupt,
                 "language model and codec do not belong together: the codes end at id " +
                     std::to_string(layout.end()) + ", the vocabulary at " +
                     std::to_string(model.vocabulary)};
  }
  for (const TokenId id : layout.stop_ids) {
    if (id >= 0 && id < model.vocabulary) continue;
    return Error{ErrorCode::kDataCorrupt, "stop id " + std::to_string(id) +
                                              " lies outside the vocabulary of " +
                                              std::to_string(model.vocabulary) + " rows"};
  }
  // A whole sequence must fit into the pool, or the request that needs it would wait for ever.
  const int most_tokens = most_sequence_tokens(config, model);
  const int64_t needed = parts.language_model->kv_tokens_for(most_tokens);
  const int64_t there = parts.language_model->free_kv_tokens();
  if (needed > there) {
    return Error{ErrorCode::kResourceExhausted,
                 "max_sequence_tokens: expected at most the KV pool of " + std::to_string(there) +
                     " tokens, found " + std::to_string(most_tokens)};
  }
  return ok_status();
}

EngineInfo describe(const EngineConfig& config, const EngineParts& parts) {
  const LanguageModelInfo& model = parts.language_model->info();
  const CodecInfo& codec = parts.codec->info();
  EngineInfo info;
  info.model_name = parts.model_name;
  info.family = parts.prompts.family;
  info.voices = parts.prompts.voices;
  info.default_voice = parts.prompts.default_voice;
  info.sample_rate_hz = codec.sample_rate_hz;
  info.samples_per_frame = codec.samples_per_frame;
  info.language_model_backend = model.backend;
  info.codec_backend = codec.backend;
  info.weights = model.weights;
  info.device = parts.device;
  info.weight_bytes = model.weight_bytes + codec.weight_bytes;
  info.kv_bytes = model.kv_bytes;
  info.max_batch = config.max_batch;
  info.max_text_bytes = config.max_text_bytes;
  return info;
}

std::vector<WarmupStep> joined(std::vector<WarmupStep> steps, std::vector<WarmupStep> more) {
  std::move(more.begin(), more.end(), std::back_inserter(steps));
  return steps;
}

/// Reads everything. kCancelled by `stop`, kDeadlineExceeded when it takes too long.
Status read_to_end(PcmSource& pcm, std::chrono::seconds most, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  bool readable = false;
  pcm.notify([&] {
    const std::lock_guard lock(mutex);
    readable = true;
    changed.notify_one();
  });
  const TimePoint deadline = Clock::now() + most;
  std::vector<float> samples(4096);
  Status status = ok_status();
  for (;;) {
    while (pcm.try_read(samples) > 0) {
    }
    if (pcm.state() != PcmSource::State::kOpen) break;
    std::unique_lock lock(mutex);
    if (!changed.wait_until(lock, stop, deadline, [&] { return readable; })) {
      if (stop.stop_requested()) {
        status = Error{ErrorCode::kCancelled, "the warm-up was stopped"};
      } else {
        status = Error{ErrorCode::kDeadlineExceeded,
                       "no end of the speech after " + std::to_string(most.count()) + " s"};
      }
      break;
    }
    readable = false;
  }
  pcm.notify({});
  return status;
}

}  // namespace

class Engine::Impl {
 public:
  Impl(EngineConfig config, EngineParts parts)
      : config_(std::move(config)),
        parts_(std::move(parts)),
        info_(describe(config_, parts_)),
        limits_{.max_sequence_tokens = most_sequence_tokens(config_, parts_.language_model->info()),
                .vocabulary = parts_.language_model->info().vocabulary,
                .tokens_per_second = static_cast<double>(CodeLayout::kSlots) *
                                     info_.sample_rate_hz / info_.samples_per_frame},
        loop_(
            {*parts_.language_model, *parts_.codec, parts_.prompts.layout},
            {.max_batch = config_.max_batch,
             .most_requests = config_.max_batch + config_.max_queue,
             .first_chunk_frames = config_.first_chunk_frames,
             .lookahead = parts_.lookahead,
             .keep_warm_after =
                 std::chrono::nanoseconds(static_cast<int64_t>(config_.keep_warm_seconds * 1e9)),
             .keep_warm = keep_warm(*parts_.language_model, *parts_.codec, parts_.prompts.layout)}),
        // Twice what a step brings: the reader takes one half while the other is made.
        channel_samples_(
            std::max(static_cast<size_t>(config_.buffer_seconds * info_.sample_rate_hz),
                     2 * loop_.step_samples())),
        warmup_(warmup_steps(), *WarmupFaults::parse(config_.warmup_faults),
                [this](const auto& work) { return loop_.between_rounds(work); }) {}

  Result<Speech> submit(const SynthesisRequest& request) {
    const TimePoint submitted = Clock::now();
    // Asked before the work of tokenising, so that a full engine refuses cheaply.
    LYRE_RETURN_IF_ERROR(loop_.admissible());
    LYRE_ASSIGN_OR_RETURN(PreparedRequest prepared,
                          prepare_request(request, config_, parts_.prompts, limits_));
    auto [sink, source] =
        make_pcm_channel(channel_samples_, [wake = loop_.wake()] { wake->notify(); });
    Speech speech;
    std::shared_ptr<TextInbox> inbox;
    if (request.more_text) {
      inbox = std::make_shared<TextInbox>(loop_.wake());
      speech.more = SpeechText(std::make_unique<SpeechText::Impl>(
          config_, parts_.prompts, limits_, prepared.voice, request.description, inbox));
      LYRE_RETURN_IF_ERROR(speech.more.append(request.text));
    }
    speech.pcm = std::move(source);
    speech.seed = prepared.sampling.seed;
    speech.voice = prepared.voice;
    speech.prompt_tokens = static_cast<int64_t>(prepared.prompt_ids.size());
    speech.segments = static_cast<int64_t>(prepared.segments.size());
    LYRE_RETURN_IF_ERROR(loop_.post(
        std::make_unique<SpeechTask>(std::move(prepared), std::move(inbox), std::move(sink),
                                     submitted, config_.first_chunk_frames, loop_.fade_samples())));
    return speech;
  }

  const EngineInfo& info() const noexcept { return info_; }
  SpeechLoop& loop() noexcept { return loop_; }
  EngineWarmup& warmup() noexcept { return warmup_; }

 private:
  // Requests that hold all sequences may come in between.
  static constexpr std::chrono::seconds kMostWarmupSpeech{60};

  EngineWarmup::Steps warmup_steps();
  Status prepare(const std::string& text) const;
  Result<double> speak_for_warmth(int frames, const std::stop_token& stop);

  const EngineConfig config_;
  const EngineParts parts_;
  const EngineInfo info_;
  const SpeechLimits limits_;
  SpeechLoop loop_;  // after the parts that it uses: it ends first
  const size_t channel_samples_;
  EngineWarmup warmup_;
};

EngineWarmup::Steps Engine::Impl::warmup_steps() {
  LanguageModel& model = *parts_.language_model;
  Codec& codec = *parts_.codec;
  return {
      .language_model =
          [this, &model] {
            return joined(model.warmup_steps(),
                          language_model_shapes(model, parts_.prompts.layout));
          },
      .codec = [&codec] { return joined(codec.warmup_steps(), codec_shapes(codec)); },
      .beside =
          [this] {
            return joined(text_shapes([this](const std::string& text) { return prepare(text); }),
                          {channels_step(config_.max_batch, channel_samples_)});
          },
      .synthesis = [this](int frames,
                          const std::stop_token& stop) { return speak_for_warmth(frames, stop); },
      .first_audio_frames = 1 + (codec.info().final_delay_samples + info_.samples_per_frame - 1) /
                                    info_.samples_per_frame};
}

Status Engine::Impl::prepare(const std::string& text) const {
  SynthesisRequest request;
  request.text = text;
  const auto prepared = prepare_request(request, config_, parts_.prompts, limits_);
  if (prepared) return ok_status();
  if (prepared.error().code != ErrorCode::kInvalidArgument) return prepared.error();
  // Limits so small that no such text will ever be spoken.
  return Error{ErrorCode::kUnavailable, prepared.error().message};
}

Result<double> Engine::Impl::speak_for_warmth(int frames, const std::stop_token& stop) {
  const EngineStats stats = loop_.stats();
  if (stats.running + stats.queued >= config_.max_batch) {
    return Error{ErrorCode::kUnavailable, "every sequence is in use by requests"};
  }
  SynthesisRequest request;
  request.text = "Hello there.";
  request.max_tokens = frames * CodeLayout::kSlots;
  request.warm_up = true;
  Result<Speech> speech = submit(request);
  if (!speech) {
    // Busy with requests: those keep everything warm.
    if (speech.error().code != ErrorCode::kResourceExhausted) return std::move(speech).error();
    return Error{ErrorCode::kUnavailable, speech.error().message};
  }
  LYRE_RETURN_IF_ERROR(read_to_end(speech->pcm, kMostWarmupSpeech, stop));
  if (speech->pcm.state() == PcmSource::State::kFailed) return speech->pcm.error();
  return speech->pcm.summary().first_audio_ms;
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::assemble(const EngineConfig& config, EngineParts parts) {
  LYRE_RETURN_IF_ERROR(validate(config));
  LYRE_RETURN_IF_ERROR(check_parts(config, parts));
  return std::unique_ptr<Engine>(new Engine(std::make_unique<Impl>(config, std::move(parts))));
}

Result<Speech> Engine::submit(SynthesisRequest request) { return impl_->submit(request); }
WarmupReport Engine::warmup_models(const WarmupOptions& options) {
  return impl_->warmup().run(options);
}
std::optional<WarmupReport> Engine::last_warmup() const { return impl_->warmup().last(); }
const EngineInfo& Engine::info() const noexcept { return impl_->info(); }
EngineStats Engine::stats() const noexcept { return impl_->loop().stats(); }
Status Engine::health() const { return impl_->loop().health(); }
bool Engine::drain(std::chrono::milliseconds most_wait) { return impl_->loop().drain(most_wait); }

}  // namespace lyre
