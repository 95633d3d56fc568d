#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "lyre/base/thread_pool.h"

namespace lyre {
namespace {

class ThreadPoolDeal : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, ThreadPoolDeal, testing::Values(1, 2, 3, 5));

TEST_P(ThreadPoolDeal, EveryChunkOnce) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 300; ++round) {
    const int chunks = round % 17;
    // Plain memory on purpose: the end of a region must make it visible, which TSan checks.
    std::vector<int> calls(static_cast<size_t>(chunks));
    pool.deal(chunks, [&](int chunk, int thread) {
      ++calls[static_cast<size_t>(chunk)];
      ASSERT_GE(thread, 0);
      ASSERT_LT(thread, pool.size());
    });
    ASSERT_EQ(calls, std::vector<int>(static_cast<size_t>(chunks), 1));
  }
}

// Workers that come late to one region must not disturb the next, of either kind.
TEST_P(ThreadPoolDeal, RegionsOfBothKindsMayAlternate) {
  ThreadPool pool(GetParam());
  int64_t sum = 0;
  std::vector<int64_t> partial(static_cast<size_t>(pool.size()));
  for (int round = 1; round <= 300; ++round) {
    std::atomic<int64_t> dealt{0};
    pool.deal(3, [&](int chunk, int) { dealt += chunk + round; });
    sum += dealt;
    if (round % 3 == 0) pool.run([&](int thread) { partial[static_cast<size_t>(thread)] += 1; });
  }
  EXPECT_EQ(sum, int64_t{3} * 300 * 301 / 2 + 3 * 300);
  for (const int64_t p : partial) EXPECT_EQ(p, 100);
}

// One thread never does two chunks at once: scratch memory of a thread is its own.
TEST_P(ThreadPoolDeal, ThreadNumbersAreExclusive) {
  ThreadPool pool(GetParam());
  std::vector<std::atomic<int>> busy(static_cast<size_t>(pool.size()));
  std::atomic<bool> shared{false};
  for (int round = 0; round < 200; ++round) {
    pool.deal(8, [&](int, int thread) {
      if (busy[static_cast<size_t>(thread)].fetch_add(1) != 0) shared = true;
      busy[static_cast<size_t>(thread)].fetch_sub(1);
    });
  }
  EXPECT_FALSE(shared);
}

// While one chunk takes its time, the others are done by whoever is there.
TEST(ThreadPool, ALateThreadHoldsNobodyUpButForItsChunk) {
  ThreadPool pool(2);
  std::atomic<int> others{0};
  pool.deal(6, [&](int chunk, int) {
    if (chunk == 0) {
      while (others.load() < 5) std::this_thread::yield();
    } else {
      ++others;
    }
  });
  EXPECT_EQ(others.load(), 5);
}

TEST(ThreadPoolDeathTest, DealsDoNotNest) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ThreadPool pool(2);
        pool.deal(4, [&](int, int) { pool.deal(4, [](int, int) {}); });
      },
      "internal error");
}

}  // namespace
}  // namespace lyre
