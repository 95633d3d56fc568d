#include "lyre/audio/pcm_channel.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "lyre/base/check.h"

namespace lyre {
namespace internal {

/// Ring of samples with two doors. A mutex, not a lock-free ring: a stream makes a dozen of calls a
/// second, each copies kilobytes, and the end, the error and the waiting reader need one anyway.
///
/// Locks: `mutex_` guards the state and is never held while foreign code runs. `wake_mutex_` is
/// held while the reader's wake function runs, so that taking it back waits until it has returned.
class PcmRing {
 public:
  PcmRing(size_t capacity, std::function<void()> on_read)
      : capacity_(capacity),
        // Not cleared: pages that a short speech never reaches are never touched.
        samples_(std::make_unique_for_overwrite<float[]>(capacity)),
        on_read_(std::move(on_read)) {
    LYRE_CHECK(capacity > 0);
  }

  PushStatus push(std::span<const float> samples) {
    {
      const std::lock_guard lock(mutex_);
      LYRE_CHECK(!outcome_);
      if (closed_) return PushStatus::kClosed;
      if (samples.size() > capacity_ - count_) return PushStatus::kFull;
      const size_t at = (first_ + count_) % capacity_;
      const size_t before_end = std::min(samples.size(), capacity_ - at);
      std::copy_n(samples.data(), before_end, samples_.get() + at);
      std::copy_n(samples.data() + before_end, samples.size() - before_end, samples_.get());
      count_ += samples.size();
    }
    if (!samples.empty()) wake_reader();
    return PushStatus::kAccepted;
  }

  void finish(Result<SpeechSummary> outcome) {
    {
      const std::lock_guard lock(mutex_);
      LYRE_CHECK(!outcome_);
      outcome_.emplace(std::move(outcome));
    }
    wake_reader();
  }

  void nudge() { wake_reader(); }

  size_t writable() const {
    const std::lock_guard lock(mutex_);
    return capacity_ - count_;
  }
  size_t readable() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  bool closed() const {
    const std::lock_guard lock(mutex_);
    return closed_;
  }

  bool complete() const {
    const std::lock_guard lock(mutex_);
    return outcome_.has_value();
  }

  size_t try_read(std::span<float> out) {
    size_t count = 0;
    {
      const std::lock_guard lock(mutex_);
      count = std::min(out.size(), count_);
      const size_t before_end = std::min(count, capacity_ - first_);
      std::copy_n(samples_.get() + first_, before_end, out.data());
      std::copy_n(samples_.get(), count - before_end, out.data() + before_end);
      first_ = (first_ + count) % capacity_;
      count_ -= count;
    }
    if (count > 0 && on_read_) on_read_();
    return count;
  }

  bool wait_readable() {
    std::unique_lock lock(mutex_);
    readable_.wait(lock, [&] { return count_ > 0 || outcome_.has_value(); });
    return count_ > 0;
  }

  PcmSource::State state() const {
    const std::lock_guard lock(mutex_);
    if (count_ > 0 || !outcome_) return PcmSource::State::kOpen;
    return outcome_->ok() ? PcmSource::State::kFinished : PcmSource::State::kFailed;
  }

  // Constant once it is there, so a reference may leave the lock.
  const Result<SpeechSummary>& outcome() const {
    const std::lock_guard lock(mutex_);
    LYRE_CHECK(outcome_.has_value());
    return *outcome_;
  }

  void set_wake(std::function<void()> wake) {
    const std::lock_guard lock(wake_mutex_);
    wake_ = std::move(wake);
    if (!wake_) return;
    bool pending = false;
    {
      const std::lock_guard state_lock(mutex_);
      pending = count_ > 0 || outcome_.has_value();
    }
    if (pending) wake_();
  }

  void close() {
    set_wake({});
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    if (on_read_) on_read_();
  }

 private:
  void wake_reader() {
    readable_.notify_one();
    const std::lock_guard lock(wake_mutex_);
    if (wake_) wake_();
  }

  const size_t capacity_;
  const std::unique_ptr<float[]> samples_;
  const std::function<void()> on_read_;

  mutable std::mutex mutex_;
  std::condition_variable readable_;
  size_t first_ = 0;  // of the samples not read yet
  size_t count_ = 0;
  bool closed_ = false;
  std::optional<Result<SpeechSummary>> outcome_;

  std::mutex wake_mutex_;
  std::function<void()> wake_;
};

}  // namespace internal

namespace {

void abandon(std::shared_ptr<internal::PcmRing>& ring, bool finished) {
  if (ring && !finished) {
    ring->finish(Error{ErrorCode::kInternal, "the speech was abandoned by its writer"});
  }
  ring.reset();
}

}  // namespace

PcmSink::PcmSink(PcmSink&& other) noexcept
    : ring_(std::move(other.ring_)), finished_(other.finished_) {}

PcmSink& PcmSink::operator=(PcmSink&& other) noexcept {
  if (this != &other) {
    abandon(ring_, finished_);
    ring_ = std::move(other.ring_);
    finished_ = other.finished_;
  }
  return *this;
}

PcmSink::~PcmSink() { abandon(ring_, finished_); }

void PcmSink::nudge() { ring_->nudge(); }
PushStatus PcmSink::push(std::span<const float> samples) { return ring_->push(samples); }
size_t PcmSink::writable() const noexcept { return ring_->writable(); }
size_t PcmSink::buffered() const noexcept { return ring_->readable(); }
bool PcmSink::closed() const noexcept { return ring_->closed(); }

void PcmSink::finish(Result<SpeechSummary> outcome) {
  finished_ = true;
  ring_->finish(std::move(outcome));
}

PcmSource& PcmSource::operator=(PcmSource&& other) noexcept {
  if (this != &other) {
    if (ring_) ring_->close();
    ring_ = std::move(other.ring_);
  }
  return *this;
}

PcmSource::~PcmSource() {
  if (ring_) ring_->close();
}

size_t PcmSource::try_read(std::span<float> out) { return ring_->try_read(out); }
bool PcmSource::wait_readable() { return ring_->wait_readable(); }
bool PcmSource::complete() const noexcept { return ring_->complete(); }
size_t PcmSource::readable() const noexcept { return ring_->readable(); }
PcmSource::State PcmSource::state() const noexcept { return ring_->state(); }
const SpeechSummary& PcmSource::summary() const { return *ring_->outcome(); }
const Error& PcmSource::error() const { return ring_->outcome().error(); }
void PcmSource::notify(std::function<void()> wake) { ring_->set_wake(std::move(wake)); }

std::pair<PcmSink, PcmSource> make_pcm_channel(size_t capacity_samples,
                                               std::function<void()> on_read) {
  auto ring = std::make_shared<internal::PcmRing>(capacity_samples, std::move(on_read));
  return {PcmSink(ring), PcmSource(ring)};
}

}  // namespace lyre
