#include "lyre/base/trace.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

namespace lyre::trace {
namespace {

constinit Operation kOuter("test.outer", "tokens", "frames");
constinit Operation kInner("test.inner");
constinit Operation kDetachedWork("test.detached", "bytes");

/// The recorder is the process's: each test leaves it off.
class Trace : public testing::Test {
 protected:
  ~Trace() override { stop(); }
};

int64_t count_of(const Snapshot& shot, std::string_view name) {
  const OperationTotals* totals = shot.find(name);
  return totals == nullptr ? 0 : totals->count;
}

/// Runs `body` on a thread of its own, whose log is new.
template <class Body>
void on_a_thread(Body body) {
  std::thread(body).join();
}

TEST_F(Trace, RecordsNothingWhileOff) {
  ASSERT_FALSE(enabled());
  start();
  stop();
  { const Span span(kOuter); }
  record(kDetachedWork, Clock::now(), Clock::now());
  { const NamedSpan span("test", "named"); }
  const Snapshot shot = snapshot();
  EXPECT_FALSE(shot.recording);
  EXPECT_TRUE(shot.operations.empty());
  EXPECT_TRUE(shot.threads.empty());
  EXPECT_TRUE(shot.events.empty());
}

TEST_F(Trace, CountsSpansAndTheirArguments) {
  start();
  for (int i = 1; i <= 10; ++i) {
    Span span(kOuter, i);
    span.set_argument(1, 2 * i);
  }
  const Snapshot shot = snapshot();
  EXPECT_TRUE(shot.recording);
  ASSERT_EQ(shot.operations.size(), 1u);
  const OperationTotals& totals = shot.operations[0];
  EXPECT_EQ(totals.name, "test.outer");
  EXPECT_EQ(totals.category(), "test");
  EXPECT_EQ(totals.arguments[0], "tokens");
  EXPECT_EQ(totals.arguments[1], "frames");
  EXPECT_EQ(totals.count, 10);
  EXPECT_EQ(totals.argument_totals[0], 55);
  EXPECT_EQ(totals.argument_totals[1], 110);
  ASSERT_EQ(shot.events.size(), 10u);
  int64_t sum = 0, least = shot.events[0].duration_ns, most = 0;
  for (size_t i = 0; i < 10; ++i) {
    const Event& event = shot.events[i];
    EXPECT_EQ(event.arguments[0], static_cast<int64_t>(i) + 1);
    EXPECT_GE(event.begin_ns, 0);
    EXPECT_LE(event.begin_ns + event.duration_ns, shot.duration_ns);
    sum += event.duration_ns;
    least = std::min(least, event.duration_ns);
    most = std::max(most, event.duration_ns);
  }
  EXPECT_EQ(totals.total_ns, sum);
  EXPECT_EQ(totals.self_ns, sum);
  EXPECT_EQ(totals.min_ns, least);
  EXPECT_EQ(totals.max_ns, most);
}

TEST_F(Trace, TotalsStayExactWhenTheRingOverflows) {
  start({.events_per_thread = 16});
  on_a_thread([] {
    for (int i = 0; i < 1000; ++i) const Span span(kOuter, i);
  });
  const Snapshot shot = snapshot();
  ASSERT_EQ(shot.operations.size(), 1u);
  EXPECT_EQ(shot.operations[0].count, 1000);
  EXPECT_EQ(shot.operations[0].argument_totals[0], 999 * 1000 / 2);
  // One place of the ring may be in work while it is read.
  ASSERT_EQ(shot.events.size(), 15u);
  for (size_t i = 0; i < 15; ++i) {
    EXPECT_EQ(shot.events[i].arguments[0], 985 + static_cast<int64_t>(i));
  }
  ASSERT_EQ(shot.threads.size(), 1u);
  EXPECT_EQ(shot.threads[0].dropped_events, 985);
}

TEST_F(Trace, TimeOfASpanIsWithoutThoseWithin) {
  start();
  {
    const Span outer(kOuter);
    for (int i = 0; i < 3; ++i) {
      const Span inner(kInner);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  const Snapshot shot = snapshot();
  const OperationTotals* outer = shot.find("test.outer");
  const OperationTotals* inner = shot.find("test.inner");
  ASSERT_NE(outer, nullptr);
  ASSERT_NE(inner, nullptr);
  EXPECT_EQ(inner->count, 3);
  EXPECT_GE(inner->min_ns, 1'000'000);
  EXPECT_EQ(inner->self_ns, inner->total_ns);
  EXPECT_EQ(outer->self_ns, outer->total_ns - inner->total_ns);
  // The outer one first, the others within it.
  ASSERT_EQ(shot.events.size(), 4u);
  const Event& whole = shot.events[0];
  EXPECT_EQ(shot.operations[static_cast<size_t>(whole.operation)].name, "test.outer");
  for (size_t i = 1; i < 4; ++i) {
    EXPECT_GE(shot.events[i].begin_ns, shot.events[i - 1].begin_ns);
    EXPECT_LE(shot.events[i].begin_ns + shot.events[i].duration_ns,
              whole.begin_ns + whole.duration_ns);
  }
}

TEST_F(Trace, LeavesOutWhatIsNotWithinTheRecording) {
  {
    const Span begun_before(kOuter);
    start();
    const Span within(kInner);
  }
  EXPECT_EQ(count_of(snapshot(), "test.outer"), 0);
  EXPECT_EQ(count_of(snapshot(), "test.inner"), 1);
  {
    const Span not_ended(kOuter);
    stop();
  }
  EXPECT_EQ(count_of(snapshot(), "test.outer"), 0);
  EXPECT_EQ(count_of(snapshot(), "test.inner"), 1);
}

TEST_F(Trace, ASpanOfAnEarlierRecordingIsLeftOut) {
  start();
  {
    const Span begun_earlier(kOuter);
    stop();
    start();
    const Span within(kInner);
  }
  const Snapshot shot = snapshot();
  EXPECT_EQ(count_of(shot, "test.outer"), 0);
  EXPECT_EQ(count_of(shot, "test.inner"), 1);
}

TEST_F(Trace, StartForgetsWhatWasBefore) {
  start();
  { const Span span(kOuter); }
  on_a_thread([] { const Span span(kInner); });
  EXPECT_EQ(snapshot().threads.size(), 2u);
  start();
  EXPECT_TRUE(enabled());
  EXPECT_TRUE(snapshot().operations.empty());
  { const Span span(kOuter); }
  const Snapshot shot = snapshot();
  EXPECT_EQ(shot.threads.size(), 1u);
  EXPECT_EQ(count_of(shot, "test.outer"), 1);
  EXPECT_EQ(count_of(shot, "test.inner"), 0);
}

TEST_F(Trace, StopKeepsTheSnapshotAndItsDuration) {
  start();
  { const Span span(kOuter); }
  stop();
  const Snapshot first = snapshot();
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  stop();  // again: no effect
  const Snapshot second = snapshot();
  EXPECT_FALSE(second.recording);
  EXPECT_EQ(first.duration_ns, second.duration_ns);
  EXPECT_EQ(count_of(second, "test.outer"), 1);
}

TEST_F(Trace, NamesOfThreadsAndSpansAreCopied) {
  start();
  on_a_thread([] {
    std::string name = "worker of a name that is longer than what is kept of it";
    name_thread(name);
    name.assign(name.size(), '?');
    std::string operation = "step 1";
    const NamedSpan span("test", operation);
    operation.assign(operation.size(), '?');
  });
  on_a_thread([] { const NamedSpan span("test", "step 1"); });
  const Snapshot shot = snapshot();
  ASSERT_EQ(shot.threads.size(), 2u);
  EXPECT_EQ(shot.threads[0].name, "worker of a name that is longer");
  EXPECT_EQ(shot.threads[1].name, "thread " + std::to_string(shot.threads[1].id));
  ASSERT_EQ(shot.operations.size(), 1u);
  EXPECT_EQ(shot.operations[0].name, "test.step 1");
  EXPECT_EQ(shot.operations[0].count, 2);
}

TEST_F(Trace, AThreadMayGetItsNameLate) {
  start();
  on_a_thread([] {
    { const Span span(kOuter); }
    name_thread("late");
  });
  const Snapshot shot = snapshot();
  ASSERT_EQ(shot.threads.size(), 1u);
  EXPECT_EQ(shot.threads[0].name, "late");
}

TEST_F(Trace, RecordTakesTimesAndIsNoPartOfTheStack) {
  const TimePoint origin = Clock::now();
  const TimePoint begin = origin + std::chrono::milliseconds(1);
  start({.origin = origin});
  {
    const Span span(kOuter);
    record(kDetachedWork, begin, begin + std::chrono::milliseconds(5), 77);
    record(kDetachedWork, origin - std::chrono::milliseconds(1), begin);  // began too early
  }
  const Snapshot shot = snapshot();
  const OperationTotals* totals = shot.find("test.detached");
  ASSERT_NE(totals, nullptr);
  EXPECT_EQ(totals->count, 1);
  EXPECT_EQ(totals->total_ns, 5'000'000);
  EXPECT_EQ(totals->self_ns, 0);
  EXPECT_EQ(totals->argument_totals[0], 77);
  EXPECT_EQ(shot.find("test.outer")->self_ns, shot.find("test.outer")->total_ns);
  int detached = 0;
  for (const Event& event : shot.events) {
    if (!event.detached) continue;
    ++detached;
    EXPECT_EQ(event.begin_ns, 1'000'000);
    EXPECT_EQ(event.duration_ns, 5'000'000);
  }
  EXPECT_EQ(detached, 1);
}

TEST_F(Trace, TotalsOfManyEndedThreadsAreKept) {
  start({.events_per_thread = 4});
  constexpr int kThreads = 100;
  for (int i = 0; i < kThreads; ++i) {
    on_a_thread([i] { const Span span(kOuter, i); });
  }
  const Snapshot shot = snapshot();
  EXPECT_LT(shot.threads.size(), 50u);  // their events are dropped
  const OperationTotals* totals = shot.find("test.outer");
  ASSERT_NE(totals, nullptr);
  EXPECT_EQ(totals->count, kThreads);
  EXPECT_EQ(totals->argument_totals[0], kThreads * (kThreads - 1) / 2);
  EXPECT_LE(totals->min_ns, totals->max_ns);
}

TEST_F(Trace, MoreOperationsThanTheTableHoldsCountAsOther) {
  start();
  constexpr int kNames = 400;
  for (int i = 0; i < kNames; ++i) {
    const NamedSpan span("many", std::to_string(i));
  }
  const Snapshot shot = snapshot();
  const int64_t sum =
      std::accumulate(shot.operations.begin(), shot.operations.end(), int64_t{0},
                      [](int64_t all, const OperationTotals& o) { return all + o.count; });
  EXPECT_EQ(sum, kNames);
  ASSERT_NE(shot.find("other"), nullptr);
  EXPECT_GT(shot.find("other")->count, 1);
  EXPECT_EQ(shot.find("many.0")->count, 1);
}

// What TSan is for; without it the values tell: each event carries a number twice, and so does each
// sum.
TEST_F(Trace, SnapshotsWhileThreadsRecord) {
  start({.events_per_thread = 64});
  constexpr int kThreads = 3, kSpans = 20'000;
  std::latch ready(kThreads + 1);
  std::atomic<int> running{kThreads};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      name_thread("writer " + std::to_string(t));
      ready.arrive_and_wait();
      for (int i = 1; i <= kSpans; ++i) {
        const Span span(kOuter, i, i);
        if (i % 8 == 0) const Span inner(kInner);
      }
      --running;
    });
  }
  ready.arrive_and_wait();
  int64_t last_count = 0;
  do {
    const Snapshot shot = snapshot();
    const OperationTotals* totals = shot.find("test.outer");
    if (totals != nullptr) {
      EXPECT_GE(totals->count, last_count);
      EXPECT_EQ(totals->argument_totals[0], totals->argument_totals[1]);
      last_count = totals->count;
    }
    for (const Event& event : shot.events) EXPECT_EQ(event.arguments[0], event.arguments[1]);
  } while (running > 0);
  for (std::thread& thread : threads) thread.join();
  const Snapshot shot = snapshot();
  EXPECT_EQ(count_of(shot, "test.outer"), kThreads * kSpans);
  EXPECT_EQ(count_of(shot, "test.inner"), kThreads * (kSpans / 8));
  EXPECT_EQ(shot.threads.size(), static_cast<size_t>(kThreads));
}

TEST_F(Trace, OnAndOffWhileThreadsRecord) {
  constexpr int kThreads = 2;
  std::atomic<bool> ending{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      while (!ending) {
        const Span span(kOuter, 1, 1);
        const Span inner(kInner);
        record(kDetachedWork, Clock::now(), Clock::now(), 1);
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    start({.events_per_thread = 16 << (i % 3)});
    const Snapshot on = snapshot();
    EXPECT_TRUE(on.recording);
    if (i % 2 == 0) stop();
    const Snapshot shot = snapshot();
    if (const OperationTotals* totals = shot.find("test.outer"); totals != nullptr) {
      EXPECT_EQ(totals->argument_totals[0], totals->count);
      EXPECT_GE(totals->total_ns, totals->self_ns);
    }
  }
  ending = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace lyre::trace
