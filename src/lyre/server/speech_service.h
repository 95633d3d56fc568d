#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lyre/audio/pcm_channel.h"
#include "lyre/base/result.h"
#include "lyre/base/sampling_params.h"
#include "lyre/base/warmup.h"

namespace lyre::server {

/// What a protocol asks for, free of the words of any wire format.
struct SpeechRequest {
  std::string text;         // UTF-8
  std::string voice;        // empty: the default voice
  std::string description;  // of the speaker or the manner, for models that take one
  SamplingOverrides sampling;
  std::optional<int> max_tokens;
  std::optional<bool> fast_start;
  bool warm_up = false;  // from the server itself: not counted
};

/// An accepted request; destroying `pcm` cancels it.
struct SpokenAudio {
  PcmSource pcm;
  uint64_t seed = 0;
  std::string voice;
};

struct ServedVoice {
  std::string name;
  std::string description;
  std::string language;
  std::string gender;
};

/// Constant while the service lives.
struct ServiceInfo {
  std::string model;
  std::vector<ServedVoice> voices;  // empty: the model takes any name
  std::string default_voice;
  int sample_rate_hz = 0;
  int max_text_bytes = 0;
  int64_t created_unix_s = 0;  // when the model became ready
};

/// A snapshot for /readyz.
struct ServiceLoad {
  int running = 0, queued = 0;
  int64_t requests_submitted = 0, requests_finished = 0, requests_failed = 0,
          requests_cancelled = 0, requests_cut = 0;
  int64_t free_kv_tokens = 0, total_kv_tokens = 0;
  int free_sequences = 0;
  int64_t keep_warm_runs = 0;
  double keep_warm_seconds = 0;
};

/// All that the server knows about the making of speech. The functions: any thread, no waiting for
/// audio. `speak` returns kInvalidArgument for what the client must mend, kResourceExhausted
/// when the queue is full, kUnavailable while shutting down.
struct SpeechService {
  ServiceInfo info;
  std::function<Result<SpokenAudio>(SpeechRequest)> speak;
  std::function<ServiceLoad()> load;
  std::function<Status()> health;  // an error once nothing will be spoken any more
  /// Warms up and waits for the end of it; as Engine::warmup_models.
  std::function<WarmupReport(const WarmupOptions&)> warm_up;
};

}  // namespace lyre::server
