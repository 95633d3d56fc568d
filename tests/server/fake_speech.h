#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lyre/audio/pcm_channel.h"
#include "lyre/server/speech_service.h"

namespace lyre::server::test {

/// Long enough for a sanitizer build on a busy machine; reached only by a failing test.
inline constexpr std::chrono::seconds kPatience{60};

/// True as soon as `condition` holds, false after kPatience.
template <class Condition>
bool eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

/// What came through the MoreText of a request: the pieces one after another, "|" for a flush and
/// "." for the end. Any thread.
class FollowingText {
 public:
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  bool finished() const { return text().ends_with('.'); }

  MoreText more_text(size_t most_bytes) {
    MoreText more;
    more.append = [this, most_bytes](std::string_view text) -> Status {
      const std::lock_guard lock(mutex_);
      if (text_.size() + text.size() > most_bytes) {
        return Error{ErrorCode::kInvalidArgument, "the text is too long"};
      }
      text_ += text;
      return ok_status();
    };
    more.flush = [this] { return add("|"); };
    more.finish = [this] { return add("."); };
    more.idle = [this] { return idle.load(); };
    return more;
  }

  std::atomic<bool> idle{false};

 private:
  Status add(std::string_view mark) {
    const std::lock_guard lock(mutex_);
    text_ += mark;
    return ok_status();
  }

  mutable std::mutex mutex_;
  std::string text_;
};

/// A speech service whose engine is the test: it sees each request and writes the samples itself.
class FakeSpeech {
 public:
  struct Call {
    SpeechRequest request;
    PcmSink sink;
    std::shared_ptr<FollowingText> following;  // of a request with more_text
  };

  /// Before the server opens: what speak() answers instead of audio.
  std::optional<Error> refusal;
  /// Of each request that the server makes to itself; else next() gets those as well.
  std::function<void(PcmSink&)> speak_warm_up;
  /// Of the first request: all of it is there before the connection looks.
  std::function<void(PcmSink&)> speak_first;
  size_t channel_samples = 48'000;
  Status health = ok_status();

  SpeechService service() {
    SpeechService service;
    service.info.model = "fake";
    service.info.voices = {{"ada", "", "", ""}, {"max", "A deep voice.", "de", "male"}};
    service.info.default_voice = "ada";
    service.info.sample_rate_hz = 24'000;
    service.info.max_text_bytes = 1000;
    service.info.created_unix_s = 1'700'000'000;
    service.speak = [this](SpeechRequest request) { return speak(std::move(request)); };
    service.load = [this] {
      ServiceLoad load;
      const std::lock_guard lock(mutex_);
      load.requests_submitted = static_cast<int64_t>(arrived_);
      load.keep_warm_runs = 3;
      load.keep_warm_seconds = 0.5;
      return load;
    };
    service.health = [this] { return health; };
    return service;
  }

  /// The next request that has not been taken; waits for it. Null after kPatience.
  Call* next() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return taken_ < arrived_; })) return nullptr;
    auto call = calls_.begin();
    std::advance(call, taken_++);
    return &*call;
  }

 private:
  Result<SpokenAudio> speak(SpeechRequest request) {
    if (refusal) return *refusal;
    auto [sink, source] = make_pcm_channel(channel_samples);
    SpokenAudio spoken{std::move(source),
                       request.sampling.seed.value_or(42),
                       request.voice.empty() ? "ada" : request.voice,
                       {}};
    if (request.warm_up && speak_warm_up) {
      speak_warm_up(sink);
      return spoken;
    }
    if (const auto speak_at_once = take_first()) {
      speak_at_once(sink);
      return spoken;
    }
    const auto following = std::make_shared<FollowingText>();
    if (request.more_text) spoken.more = following->more_text(1000);
    const std::lock_guard lock(mutex_);
    calls_.push_back({std::move(request), std::move(sink), following});
    ++arrived_;
    changed_.notify_all();
    return spoken;
  }

  std::function<void(PcmSink&)> take_first() {
    const std::lock_guard lock(mutex_);
    return std::exchange(speak_first, {});
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Call> calls_;  // the addresses stay
  size_t arrived_ = 0, taken_ = 0;
};

/// A row of samples that tells every position apart: its 16-bit values count up from `first`.
inline std::vector<float> counting_samples(int first, int count) {
  std::vector<float> samples(static_cast<size_t>(count));
  for (float& sample : samples) sample = static_cast<float>(first++ % 30'000) / 32'768.0f;
  return samples;
}

/// The bytes of counting_samples as 16-bit little-endian PCM.
inline std::string counting_pcm(int first, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    const int value = (first + i) % 30'000;
    bytes += static_cast<char>(value & 0xff);
    bytes += static_cast<char>(value >> 8);
  }
  return bytes;
}

/// Pushes everything, waiting while the channel is full; false if the reader went away.
inline bool push_all(PcmSink& sink, std::span<const float> samples) {
  while (!samples.empty()) {
    const size_t count = std::min<size_t>(samples.size(), 2048);
    switch (sink.push(samples.first(count))) {
      case PushStatus::kAccepted:
        samples = samples.subspan(count);
        break;
      case PushStatus::kFull:
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        break;
      case PushStatus::kClosed:
        return false;
    }
  }
  return true;
}

inline SpeechSummary summary(FinishReason reason = FinishReason::kStop) {
  SpeechSummary summary;
  summary.reason = reason;
  return summary;
}

}  // namespace lyre::server::test
