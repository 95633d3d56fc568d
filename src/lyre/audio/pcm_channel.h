#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "lyre/base/api.h"
#include "lyre/base/result.h"

namespace lyre {

enum class [[nodiscard]] PushStatus : uint8_t{
    kAccepted,  // all samples were taken
    kFull,      // none was taken: pause until writable() has room
    kClosed,    // the reader is gone: stop
};

enum class FinishReason : uint8_t {
  kStop,    // the model ended the speech
  kLength,  // cut at a limit of tokens: the client must be told
};

/// What became of a request, known when its audio ends.
struct SpeechSummary {
  FinishReason reason = FinishReason::kStop;
  int64_t segments = 0;
  int64_t prompt_tokens = 0;
  int64_t generated_tokens = 0;
  int64_t frames = 0;
  int64_t dropped_frames = 0;  // broken by ids out of turn (only without legal slots)
  int64_t samples = 0;
  // Milliseconds by the steady clock.
  double queue_ms = 0;        // from submit() until a sequence was there
  double prefill_ms = 0;      // from then until the first prompt was taken in
  double first_audio_ms = 0;  // from submit() to the first samples; 0: there were none
  double total_ms = 0;        // from submit() to the last samples
};

namespace internal {
class PcmRing;
}

/// Writing end; engine thread only.
class PcmSink {
 public:
  PcmSink() = default;
  PcmSink(PcmSink&&) noexcept;
  PcmSink& operator=(PcmSink&&) noexcept;
  ~PcmSink();  // without finish(): the reader sees kInternal

  /// Takes all samples or none. Wakes the reader.
  PushStatus push(std::span<const float> samples);
  /// Wakes the reader though there is nothing to read: something else that he watches has changed.
  void nudge();
  size_t writable() const noexcept;  // samples that fit now
  size_t buffered() const noexcept;  // samples written and not read
  bool closed() const noexcept;      // the reader is gone
  /// Ends the stream after what was written.
  void finish(Result<SpeechSummary> outcome);

 private:
  friend std::pair<PcmSink, class PcmSource> make_pcm_channel(size_t, std::function<void()>);
  explicit PcmSink(std::shared_ptr<internal::PcmRing> ring) : ring_(std::move(ring)) {}
  std::shared_ptr<internal::PcmRing> ring_;
  bool finished_ = false;
};

/// Reading end; one thread at a time. Its destructor is the cancellation.
class LYRE_API PcmSource {
 public:
  PcmSource() = default;
  PcmSource(PcmSource&&) noexcept = default;
  PcmSource& operator=(PcmSource&&) noexcept;
  ~PcmSource();

  enum class State : uint8_t { kOpen, kFinished, kFailed };

  /// Copies up to out.size() samples without waiting; 0 when none is there.
  size_t try_read(std::span<float> out);
  /// Waits until a sample is there or the stream has ended; false when it has ended and everything
  /// was read.
  bool wait_readable();
  size_t readable() const noexcept;
  /// The writer is done: nothing follows what is readable, and the reader alone is waited for.
  bool complete() const noexcept;
  /// kFinished and kFailed only after everything was read.
  State state() const noexcept;
  const SpeechSummary& summary() const;  // state() == kFinished
  const Error& error() const;            // state() == kFailed
  /// `wake` is called, on the writer's thread, after every write and at the end; it must be short,
  /// must not throw, and must not call notify() or destroy this source. Called at once, on this
  /// thread, if something is readable already or the stream has ended. An empty function takes it
  /// back, after which it is never called again.
  void notify(std::function<void()> wake);

 private:
  friend std::pair<PcmSink, PcmSource> make_pcm_channel(size_t, std::function<void()>);
  explicit PcmSource(std::shared_ptr<internal::PcmRing> ring) : ring_(std::move(ring)) {}
  std::shared_ptr<internal::PcmRing> ring_;
};

/// Bounded channel of mono float samples between the engine thread and one reader. All memory is
/// taken here. on_read: called on the reader's thread after room was made and when the reader goes
/// away (the engine wakes by it).
std::pair<PcmSink, PcmSource> make_pcm_channel(size_t capacity_samples,
                                               std::function<void()> on_read = {});

}  // namespace lyre
