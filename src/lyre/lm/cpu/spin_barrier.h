#pragma once

#include <atomic>
#include <cstdint>

namespace lyre::cpu {

/// Barrier inside one region of a ThreadPool: some hundred nanoseconds where a new region costs a
/// microsecond, and a decode step has five for each layer. A thread that waits long (a core was
/// taken away from another) sleeps.
class SpinBarrier {
 public:
  explicit SpinBarrier(int threads) : threads_(static_cast<uint32_t>(threads)) {}

  /// All threads call it; returns in each when the last has come. What was written before is seen
  /// by all after.
  void wait() noexcept {
    if (threads_ == 1) return;
    const uint32_t round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      round_.notify_all();
      return;
    }
    for (int turn = 0; turn < kSpinTurns; ++turn) {
      if (round_.load(std::memory_order_acquire) != round) return;
      pause_core();
    }
    while (round_.load(std::memory_order_acquire) == round) {
      round_.wait(round, std::memory_order_acquire);
    }
  }

 private:
  static constexpr int kSpinTurns = 8192;  // some 50 us

  static void pause_core() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  const uint32_t threads_;
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> round_{0};
};

}  // namespace lyre::cpu
