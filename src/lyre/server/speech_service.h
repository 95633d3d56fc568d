#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/audio/pcm_channel.h"
#include "lyre/base/result.h"
#include "lyre/base/sampling_params.h"
#include "lyre/base/warmup.h"

namespace lyre::server {

/// What a protocol asks for, free of the words of any wire format.
struct SpeechRequest {
  std::string text;  // UTF-8
  /// More text follows through SpokenAudio::more; `text` is the first of it and may be empty.
  bool more_text = false;
  std::string voice;        // empty: the default voice
  std::string description;  // of the speaker or the manner, for models that take one
  SamplingOverrides sampling;
  std::optional<int> max_tokens;
  std::optional<bool> fast_start;
  bool warm_up = false;  // from the server itself: not counted
};

/// Text that is spoken while it is still written. Pieces are joined as they are, a word may be cut
/// anywhere between them; what is complete enough is spoken, see TextPacing of the engine. From one
/// thread at a time; none waits.
struct MoreText {
  /// kInvalidArgument: bad UTF-8 (a character cut between two pieces is none), more text than
  /// ServiceInfo::max_text_bytes in all; the speech goes on without this piece.
  std::function<Status(std::string_view text)> append;
  /// Speaks what has come so far, complete or not. Nothing there: nothing happens.
  std::function<Status()> flush;
  /// No more text: what is left is spoken, then the audio ends. Without it the audio ends when this
  /// is destroyed, as if finish() had been called.
  std::function<Status()> finish;
  /// True while all that was to be spoken has been made: the model waits for text. Samples of it
  /// may still be in the channel.
  std::function<bool()> idle;
};

/// An accepted request; destroying `pcm` cancels it.
struct SpokenAudio {
  PcmSource pcm;
  uint64_t seed = 0;
  std::string voice;
  MoreText more{};  // only if the request had more_text
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
  int max_batch = 0;           // requests that are spoken at the same time
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
