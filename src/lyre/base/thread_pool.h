#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace lyre {

/// Fork-join over a fixed set of threads, for kernels of tens of microseconds: workers spin for a
/// short while before they sleep, so a region costs about a microsecond while the engine is busy
/// and nothing when it is idle. Thread contract: one thread at a time calls run(), and it takes
/// part as thread 0. Regions do not nest.
class ThreadPool {
 public:
  /// threads: in all, the calling thread included; at least 1. 0: one for each core that this
  /// process may use.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const noexcept { return size_; }

  /// Calls body(thread) once for every thread 0..size()-1 and returns when all are done. The body
  /// must not throw.
  template <class Body>
  void run(Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run_erased([](void* context, int thread) { (*static_cast<Plain*>(context))(thread); },
               const_cast<void*>(static_cast<const void*>(&body)));
  }

  /// Calls body(chunk, thread) once for every chunk 0..chunks-1 and returns when all are done; a
  /// region like run(). Chunks go to whichever thread comes for them: one whose core was taken away
  /// holds the others up for the chunk in its hands at most, and one that comes too late not at
  /// all.
  template <class Body>
  void deal(int chunks, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    deal_erased(
        chunks,
        [](void* context, int chunk, int thread) {
          (*static_cast<Plain*>(context))(chunk, thread);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  /// [begin, end) of `count` items for one of `size()` threads, cut at multiples of `grain`.
  /// Depends on count and size only.
  struct Range {
    int64_t begin, end;
  };
  Range split(int64_t count, int64_t grain, int thread) const noexcept;

 private:
  using Function = void (*)(void* context, int thread);
  using DealFunction = void (*)(void* context, int chunk, int thread);
  void run_erased(Function function, void* context);
  void deal_erased(int chunks, DealFunction function, void* context);
  void open_region(uint32_t kind, void* context, int pending);
  void wait_for_region();
  void take_chunks(uint32_t epoch, int thread);
  void work(int thread);

  const int size_;
  // Of the region at hand; a worker reads them only while the region cannot end without it.
  Function function_ = nullptr;
  DealFunction deal_function_ = nullptr;
  void* context_ = nullptr;
  int chunks_ = 0;
  // Changes once a region; workers wait for it. The lowest bit is the kind of the region.
  alignas(64) std::atomic<uint32_t> epoch_{0};
  // Workers (run) or chunks (deal) that have not finished the region.
  alignas(64) std::atomic<uint32_t> pending_{0};
  // deal: chunks that nobody has taken, under the epoch of their region.
  alignas(64) std::atomic<uint64_t> untaken_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::jthread> workers_;
};

}  // namespace lyre
