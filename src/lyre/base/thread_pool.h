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

  /// [begin, end) of `count` items for one of `size()` threads, cut at multiples of `grain`.
  /// Depends on count and size only.
  struct Range {
    int64_t begin, end;
  };
  Range split(int64_t count, int64_t grain, int thread) const noexcept;

 private:
  using Function = void (*)(void* context, int thread);
  void run_erased(Function function, void* context);
  void work(int thread);

  const int size_;
  Function function_ = nullptr;
  void* context_ = nullptr;
  alignas(64) std::atomic<uint32_t> epoch_{0};    // raised once a region; workers wait for it
  alignas(64) std::atomic<uint32_t> pending_{0};  // workers that have not finished the region
  std::atomic<bool> stopping_{false};
  std::vector<std::jthread> workers_;
};

}  // namespace lyre
