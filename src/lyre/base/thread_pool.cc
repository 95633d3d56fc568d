#include "lyre/base/thread_pool.h"

#include <algorithm>
#include <string>

#include "lyre/base/check.h"
#include "lyre/base/cpu.h"
#include "lyre/base/trace.h"

namespace lyre {
namespace {

// About 50 us at a few ns a turn: longer than the gap between two regions of a step, far shorter
// than an idle listener.
constexpr int kSpinTurns = 16384;

constexpr uint32_t kRun = 0, kDeal = 1;  // lowest bit of the epoch

void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins, then sleeps on the futex, until the value differs from `old`.
uint32_t wait_for_change(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int turn = 0; turn < kSpinTurns; ++turn) {
    const uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    pause_core();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) : size_(threads > 0 ? threads : usable_cores()) {
  workers_.reserve(static_cast<size_t>(size_ - 1));
  for (int thread = 1; thread < size_; ++thread)
    workers_.emplace_back([this, thread] { work(thread); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(2, std::memory_order_release);
  epoch_.notify_all();
}

void ThreadPool::open_region(uint32_t kind, void* context, int pending) {
  LYRE_CHECK(pending_.load(std::memory_order_relaxed) == 0);  // nested or concurrent regions
  context_ = context;
  pending_.store(static_cast<uint32_t>(pending), std::memory_order_relaxed);
  const uint32_t epoch = ((epoch_.load(std::memory_order_relaxed) | 1) + 1) | kind;
  if (kind == kDeal) {
    untaken_.store(uint64_t{epoch} << 32 | static_cast<uint32_t>(chunks_),
                   std::memory_order_release);
  }
  epoch_.store(epoch, std::memory_order_release);
  epoch_.notify_all();
}

void ThreadPool::wait_for_region() {
  for (uint32_t left = pending_.load(std::memory_order_acquire); left != 0;) {
    left = wait_for_change(pending_, left);
  }
}

void ThreadPool::run_erased(Function function, void* context) {
  if (size_ > 1) {
    function_ = function;
    open_region(kRun, context, size_ - 1);
  }
  function(context, 0);
  wait_for_region();
}

void ThreadPool::deal_erased(int chunks, DealFunction function, void* context) {
  if (size_ == 1 || chunks <= 1) {
    for (int chunk = 0; chunk < chunks; ++chunk) function(context, chunk, 0);
    return;
  }
  deal_function_ = function;
  chunks_ = chunks;
  open_region(kDeal, context, chunks);
  take_chunks(epoch_.load(std::memory_order_relaxed), 0);
  wait_for_region();
}

// A worker may come when the region is long over, even in the midst of a later one: the epoch
// tells, and only a chunk in its hands entitles it to look at anything else.
void ThreadPool::take_chunks(uint32_t epoch, int thread) {
  uint64_t untaken = untaken_.load(std::memory_order_acquire);
  while (untaken >> 32 == epoch && static_cast<uint32_t>(untaken) != 0) {
    if (!untaken_.compare_exchange_weak(untaken, untaken - 1, std::memory_order_acquire)) continue;
    deal_function_(context_, chunks_ - static_cast<int>(static_cast<uint32_t>(untaken)), thread);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
    untaken = untaken_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int thread) {
  trace::name_thread("pool " + std::to_string(thread));
  uint32_t seen = 0;
  while (true) {
    seen = wait_for_change(epoch_, seen);
    if (stopping_.load(std::memory_order_relaxed)) return;
    if ((seen & 1) == kDeal) {
      take_chunks(seen, thread);
      continue;
    }
    function_(context_, thread);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
  }
}

ThreadPool::Range ThreadPool::split(int64_t count, int64_t grain, int thread) const noexcept {
  const int64_t blocks = (count + grain - 1) / grain;
  const auto edge = [&](int64_t t) { return std::min(count, blocks * t / size_ * grain); };
  return {edge(thread), edge(thread + 1)};
}

}  // namespace lyre
