#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "lyre/base/clock.h"
#include "lyre/base/thread_pool.h"
#include "lyre/engine/benchmark.h"

namespace lyre {
namespace {

/// Several independent sums, so that the additions do not wait for each other and the compiler may
/// use vectors.
uint64_t sum(const uint64_t* words, int64_t count) {
  std::array<uint64_t, 32> lanes{};
  for (int64_t i = 0; i < count; i += static_cast<int64_t>(lanes.size())) {
    for (size_t lane = 0; lane < lanes.size(); ++lane) {
      lanes[lane] += words[i + static_cast<int64_t>(lane)];
    }
  }
  uint64_t total = 0;
  for (const uint64_t lane : lanes) total += lane;
  return total;
}

}  // namespace

Result<double> measure_memory_gb_per_s(int threads, int64_t buffer_bytes) {
  constexpr int64_t kGrain = 32;  // words of one round of sum()
  const int64_t count = buffer_bytes / int64_t{sizeof(uint64_t)} / kGrain * kGrain;
  if (count < 1) {
    return Error{ErrorCode::kInvalidArgument,
                 "buffer_bytes: expected at least 256, found " + std::to_string(buffer_bytes)};
  }
  constexpr int kRuns = 5;
  ThreadPool pool(threads);
  const auto words = std::make_unique_for_overwrite<uint64_t[]>(static_cast<size_t>(count));
  std::atomic<uint64_t> total{0};
  // The first touch is by the thread that reads, so that on a machine of several memories each
  // thread reads its own.
  pool.run([&](int thread) {
    const auto range = pool.split(count, kGrain, thread);
    std::fill(words.get() + range.begin, words.get() + range.end, uint64_t{1});
  });
  double best_ms = 0;
  for (int run = 0; run < kRuns; ++run) {
    const TimePoint start = Clock::now();
    pool.run([&](int thread) {
      const auto range = pool.split(count, kGrain, thread);
      total += sum(words.get() + range.begin, range.end - range.begin);
    });
    const double ms = milliseconds_since(start);
    if (run == 0 || ms < best_ms) best_ms = ms;
  }
  if (total != static_cast<uint64_t>(kRuns * count)) {
    return Error{ErrorCode::kInternal, "the memory did not hold what was written"};
  }
  return static_cast<double>(count) * sizeof(uint64_t) / (best_ms / 1000.0) / 1e9;
}

}  // namespace lyre
