#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/audio/pcm_channel.h"
#include "lyre/base/api.h"
#include "lyre/base/result.h"
#include "lyre/base/sampling_params.h"
#include "lyre/base/text_pacing.h"
#include "lyre/base/warmup.h"

namespace lyre {

/// kAuto: the GPU if this build has CUDA backends and there is one, else the CPU.
enum class BackendChoice : uint8_t { kCpu, kReference, kCuda, kAuto };
/// How the weights of the language model are kept in memory. kInt8: the CPU only; kFp8: a GPU only.
enum class WeightChoice : uint8_t { kAsStored, kInt8, kFp8 };
/// How its keys and values are. kDefault: fp16 on the CPU, bf16 on a GPU; kFp8: a GPU only.
enum class KvChoice : uint8_t { kDefault, kFp8 };

struct EngineConfig {
  std::filesystem::path model;  // Hugging Face folder of the language model
  std::filesystem::path codec;  // SNAC folder
  std::string family;  // name of a built-in prompt family or path of a family file; empty: found
                       // from the model
  std::vector<std::string> voices;    // empty: the voices of the model's voice file or family
  std::filesystem::path voices_file;  // JSON, see docs/voices.md; empty: none
  BackendChoice backend = BackendChoice::kCpu;
  int device = 0;  // index of the GPU, as the driver counts; other backends use none
  WeightChoice weights = WeightChoice::kAsStored;
  KvChoice kv = KvChoice::kDefault;
  int64_t kv_tokens = 0;  // that all sequences share; 0: max_batch sequences in full length
  int threads = 0;        // 0: every core that the process may use
  int max_batch = 16;     // sequences stepped together; a GPU is best served with 64 and more
  int max_sequence_tokens = 4096;  // prompt + speech of one segment
  int max_queue = 64;              // requests that wait; more are refused
  int max_text_bytes = 64 * 1024;  // one request
  int segment_characters = 240;    // longer text is spoken in segments of at most about this size
  TextPacing text_pacing;          // of text that follows, see SpeechText
  double buffer_seconds = 4.0;     // audio that a request may be ahead of its reader
  bool fast_start =
      false;  // first chunk before its right context exists, cross-faded to the exact samples
  int first_chunk_frames = 1;  // of a fast start
  SamplingOverrides sampling;  // over the family's defaults

  /// Warm the codec up within open(). Empty: as ENABLE_SNAC_WARMUP of the environment says, which
  /// is on unless it says no.
  std::optional<bool> snac_warmup;
  /// After so many idle seconds run the smallest step that keeps the models warm, and again after
  /// as many; 0: never.
  double keep_warm_seconds = 0;
  /// Makes steps of the warm-up fail, to try out what follows: see engine/warmup_faults.h.
  std::string warmup_faults;
  /// Folder for weights in the form in which the kernels read them, so that a later start finds
  /// them ready; created when needed. Empty: none is kept.
  std::filesystem::path cache_folder;
};

/// kInvalidArgument naming the field that is out of range.
LYRE_API Status validate(const EngineConfig& config);

/// `{.text = "Hello."}` is one; the empty initialisers spare it the compiler's warnings.
struct SynthesisRequest {
  std::string text;           // UTF-8
  std::string voice{};        // empty: the default voice
  std::string description{};  // families that describe the speaker in words (Maya1); else ignored
  SamplingOverrides sampling{};
  std::optional<int>
      max_tokens{};  // speech tokens over the whole request; empty: as many as the sequences hold
  std::optional<bool> fast_start{};  // over the configuration
  bool warm_up = false;  // spoken to nobody: not counted in the stats, no word in the log
  /// More text follows through Speech::more; `text` is the first of it and may be empty.
  bool more_text = false;
};

struct VoiceInfo {
  std::string name;
  std::string description;
  std::string language;
  std::string gender;
};

/// What was opened, for inspect, /v1/models and logs.
struct EngineInfo {
  std::string model_name;  // folder name
  std::string family;
  std::vector<VoiceInfo> voices;
  std::string default_voice;
  int sample_rate_hz = 0;
  int samples_per_frame = 0;
  std::string language_model_backend, codec_backend, weights;
  std::string device;  // name of the GPU; empty: none
  int64_t weight_bytes = 0, kv_bytes = 0;
  int max_batch = 0;
  int max_text_bytes = 0;
};

/// Counters since open; a consistent snapshot is not promised.
struct EngineStats {
  int64_t requests_submitted = 0, requests_finished = 0, requests_failed = 0,
          requests_cancelled = 0, requests_cut = 0;
  int64_t steps = 0, tokens = 0, frames = 0, dropped_frames = 0;
  int running = 0, queued = 0;
  int64_t free_kv_tokens = 0, total_kv_tokens = 0;
  int free_sequences = 0;
  int64_t keep_warm_runs = 0;
  double keep_warm_seconds = 0;  // of the engine thread, in all
};

/// Text that is spoken while it is still written. The pieces are joined as they are and cut into
/// segments as the configuration's text_pacing says, so a word may be cut anywhere between them.
/// The audio equals that of the same segments in one request. One thread at a time, none of it
/// waits; not to be used once the engine has gone.
class LYRE_API SpeechText {
 public:
  SpeechText() noexcept;
  SpeechText(SpeechText&&) noexcept;
  SpeechText& operator=(SpeechText&&) noexcept;
  ~SpeechText();  // as finish()

  /// kInvalidArgument: bad UTF-8, or more than max_text_bytes since the begin; the speech goes on
  /// without this piece. kUnavailable: the speech has ended, at a limit of tokens or by an error.
  Status append(std::string_view utf8);
  /// Speaks what has come, complete or not.
  Status flush();
  /// No more text: what is left is spoken, then the audio ends.
  Status finish();
  /// Everything that was complete has been made: the models wait for text. Its samples may still be
  /// in the channel, whose reader is woken when this becomes true.
  bool idle() const;

 private:
  friend class Engine;
  class Impl;
  explicit SpeechText(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// An accepted request: its audio and what was decided for it.
struct Speech {
  PcmSource pcm;
  uint64_t seed = 0;  // the request's or a random one: the same seed and text give the same audio
  std::string voice;
  int64_t prompt_tokens = 0;
  int64_t segments = 0;  // how many sentences or groups of sentences the text was cut into
  SpeechText more{};     // only if the request had more_text; the two counts above are 0 then
};

struct EngineParts;

/// The models and the one thread that steps them. submit() and the getters: any thread.
class LYRE_API Engine {
 public:
  static Result<std::unique_ptr<Engine>> open(const EngineConfig& config);
  ~Engine();  // running requests end with kUnavailable
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Checks and tokenises on the calling thread. kInvalidArgument: empty or too long text, bad
  /// UTF-8, unknown voice (with the list of voices), sampling out of range; kResourceExhausted: the
  /// queue is full.
  Result<Speech> submit(SynthesisRequest request);

  /// Runs everything once that a first request would pay for, see docs/warmup.md. Blocks the
  /// caller; requests run on meanwhile, and steps that find no free sequence for them are skipped.
  /// Any thread, any time, as often as wanted; a call during a warm-up waits for it to end and
  /// returns its report, without its own further steps. What fails is in the report and changes
  /// nothing else: the engine speaks all the same.
  WarmupReport warmup_models(const WarmupOptions& options = {});
  /// Of the last warm-up, the codec's within open() included; nothing before the first.
  std::optional<WarmupReport> last_warmup() const;

  const EngineInfo& info() const noexcept;
  EngineStats stats() const noexcept;
  /// kDeviceLost once the device has gone: nothing will be spoken any more, restart.
  Status health() const;

  /// Graceful end: refuses new requests (kUnavailable) from now on and waits until those accepted
  /// have ended, at most for `most_wait`. False if some still run then; they go on, and the
  /// destructor ends them. May be called again.
  bool drain(std::chrono::milliseconds most_wait = std::chrono::hours(24));

  /// An engine of parts that are open already (engine/engine_parts.h): how open() ends, and where
  /// tests put doubles.
  static Result<std::unique_ptr<Engine>> assemble(const EngineConfig& config, EngineParts parts);

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lyre
