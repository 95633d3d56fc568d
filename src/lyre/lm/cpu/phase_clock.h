#pragma once

#include <atomic>
#include <cstdint>

namespace lyre::cpu {

/// Deals the chunks of one phase after the other to the threads of one region of a ThreadPool. A
/// phase is over when its chunks are done, not when all threads have come: a thread whose core was
/// taken away holds the others up for the chunk in its hands at most, and passes by the phases that
/// it missed. A decode step has five phases a layer, so this matters as soon as anything else runs.
///
/// Two counters run on for ever, over all phases and regions (and wrap around): chunks taken and
/// chunks done.
class PhaseClock {
 public:
  /// One thread's place in the sequence of phases. All threads of a region start with start(), and
  /// run the same phases with the same numbers of chunks.
  class Cursor {
   public:
    /// Calls body(chunk) for some of the chunks 0 .. chunks-1; every chunk is done by one thread.
    /// Returns when all are done, and what their threads wrote is seen. Data of earlier phases may
    /// be read inside body only: elsewhere this thread may be late.
    template <class Body>
    void run(int64_t chunks, Body&& body) noexcept {
      const uint32_t end = base_ + static_cast<uint32_t>(chunks);
      uint32_t done = 0;
      uint32_t next = clock_.taken_.load(std::memory_order_relaxed);
      while (before(next, end)) {
        if (!clock_.taken_.compare_exchange_weak(next, next + 1, std::memory_order_relaxed))
          continue;
        body(static_cast<int64_t>(next - base_));
        ++done;
        next = clock_.taken_.load(std::memory_order_relaxed);
      }
      clock_.finish(done, end);
      base_ = end;
    }

   private:
    friend class PhaseClock;
    Cursor(PhaseClock& clock, uint32_t base) : clock_(clock), base_(base) {}

    PhaseClock& clock_;
    uint32_t base_;  // number of the first chunk of the next phase
  };

  /// Before a region, by the thread that opens it: no chunk is in work.
  void begin_region() noexcept { region_base_ = done_.load(std::memory_order_relaxed); }
  /// In a region, once by each thread.
  Cursor start() noexcept { return {*this, region_base_}; }

 private:
  static constexpr int kSpinTurns = 4096;  // some 20 us

  // The counters wrap around: the distance decides.
  static bool before(uint32_t a, uint32_t b) noexcept { return static_cast<int32_t>(a - b) < 0; }

  void finish(uint32_t chunks, uint32_t end) noexcept {
    if (chunks > 0 && done_.fetch_add(chunks, std::memory_order_acq_rel) + chunks == end) {
      done_.notify_all();
      return;
    }
    for (int turn = 0; turn < kSpinTurns; ++turn) {
      if (!before(done_.load(std::memory_order_acquire), end)) return;
      pause_core();
    }
    uint32_t now = done_.load(std::memory_order_acquire);
    while (before(now, end)) {
      done_.wait(now, std::memory_order_acquire);
      now = done_.load(std::memory_order_acquire);
    }
  }

  static void pause_core() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  uint32_t region_base_ = 0;
  alignas(64) std::atomic<uint32_t> taken_{0};
  alignas(64) std::atomic<uint32_t> done_{0};
};

}  // namespace lyre::cpu
