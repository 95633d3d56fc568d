#include "lyre/base/thread_pool.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace lyre {
namespace {

class ThreadPoolOfSize : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, ThreadPoolOfSize, testing::Values(1, 2, 3, 4, 5, 8));

TEST_P(ThreadPoolOfSize, RunsEveryThreadOnceARegion) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.size(), GetParam());
  // Plain memory on purpose: the end of a region must make it visible, which TSan checks.
  std::vector<int> calls(static_cast<size_t>(pool.size()));
  constexpr int kRegions = 100;
  for (int region = 1; region <= kRegions; ++region) {
    pool.run([&](int thread) { ++calls[static_cast<size_t>(thread)]; });
    for (const int count : calls) ASSERT_EQ(count, region);
  }
}

TEST_P(ThreadPoolOfSize, CallerIsThreadZero) {
  ThreadPool pool(GetParam());
  std::vector<std::thread::id> ids(static_cast<size_t>(pool.size()));
  pool.run([&](int thread) { ids[static_cast<size_t>(thread)] = std::this_thread::get_id(); });
  EXPECT_EQ(ids[0], std::this_thread::get_id());
  for (size_t a = 0; a < ids.size(); ++a) {
    for (size_t b = a + 1; b < ids.size(); ++b) EXPECT_NE(ids[a], ids[b]);
  }
}

// The workers stop spinning and sleep; the next region has to wake them.
TEST_P(ThreadPoolOfSize, WakesSleepingWorkers) {
  ThreadPool pool(GetParam());
  for (int region = 0; region < 5; ++region) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> calls{0};
    pool.run([&](int) { ++calls; });
    EXPECT_EQ(calls.load(), pool.size());
  }
}

// A region lasts as long as its slowest thread, also when the caller falls asleep waiting.
TEST_P(ThreadPoolOfSize, WaitsForTheSlowest) {
  ThreadPool pool(GetParam());
  std::atomic<int> done{0};
  pool.run([&](int thread) {
    if (thread == pool.size() - 1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ++done;
  });
  EXPECT_EQ(done.load(), pool.size());
}

TEST_P(ThreadPoolOfSize, SplitsEveryCountIntoWholeGrains) {
  ThreadPool pool(GetParam());
  for (const int64_t count : {0, 1, 2, 7, 8, 9, 31, 32, 33, 1000, 65537}) {
    for (const int64_t grain : {1, 2, 8, 64, 100}) {
      int64_t next = 0;
      for (int thread = 0; thread < pool.size(); ++thread) {
        const ThreadPool::Range range = pool.split(count, grain, thread);
        ASSERT_EQ(range.begin, next) << count << " " << grain << " " << thread;
        ASSERT_LE(range.begin, range.end);
        if (range.end != count) {
          ASSERT_EQ(range.end % grain, 0);
        }
        // No thread has more than its share, rounded up to grains.
        const int64_t blocks = (count + grain - 1) / grain;
        ASSERT_LE(range.end - range.begin, (blocks + pool.size() - 1) / pool.size() * grain);
        next = range.end;
      }
      ASSERT_EQ(next, count) << count << " " << grain;
    }
  }
}

TEST_P(ThreadPoolOfSize, SumsInParallel) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> values(10'007);
  std::iota(values.begin(), values.end(), 0);
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::vector<int64_t> partial(static_cast<size_t>(pool.size()));
    pool.run([&](int thread) {
      const auto [begin, end] = pool.split(static_cast<int64_t>(values.size()), 16, thread);
      for (int64_t i = begin; i < end; ++i) {
        partial[static_cast<size_t>(thread)] += values[static_cast<size_t>(i)];
      }
    });
    ASSERT_EQ(std::accumulate(partial.begin(), partial.end(), int64_t{0}), 10'006 * 10'007 / 2);
  }
}

TEST(ThreadPool, EndsWithoutARegion) {
  for (int repeat = 0; repeat < 50; ++repeat) ThreadPool pool(4);
}

TEST(ThreadPool, SizeZeroIsEveryUsableCore) {
  const ThreadPool pool(0);
  EXPECT_GE(pool.size(), 1);
  EXPECT_LE(pool.size(), static_cast<int>(std::thread::hardware_concurrency()));
}

TEST(ThreadPoolDeathTest, RegionsDoNotNest) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ThreadPool pool(2);
        pool.run([&](int thread) {
          // The worker holds the first region open until the process has died.
          if (thread > 0) std::this_thread::sleep_for(std::chrono::seconds(10));
          if (thread == 0) pool.run([](int) {});
        });
      },
      "internal error");
}

}  // namespace
}  // namespace lyre
