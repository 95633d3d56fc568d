#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace lyre {

/// Lets a thread sleep until something has happened since it last looked. Shared by the engine
/// thread and the readers of its channels, which may outlive the engine. Any thread notifies, one
/// waits.
class WakeSignal {
 public:
  void notify() {
    {
      const std::lock_guard lock(mutex_);
      if (pending_) return;
      pending_ = true;
    }
    changed_.notify_one();
  }

  /// Forgets what was notified so far. Call it before looking at the state, so that nothing that
  /// happens afterwards is slept over.
  void clear() {
    const std::lock_guard lock(mutex_);
    pending_ = false;
  }

  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return pending_; });
  }
  /// False if nothing was notified in that time.
  bool wait_for(std::chrono::nanoseconds most) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, most, [&] { return pending_; });
  }
  bool pending() const {
    const std::lock_guard lock(mutex_);
    return pending_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool pending_ = false;
};

}  // namespace lyre
