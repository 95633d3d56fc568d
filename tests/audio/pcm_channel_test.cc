#include "lyre/audio/pcm_channel.h"

#include <atomic>
#include <numeric>
#include <thread>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace lyre {
namespace {

static_assert(!std::is_copy_constructible_v<PcmSink>);
static_assert(!std::is_copy_constructible_v<PcmSource>);

std::vector<float> ramp(size_t count, float first = 0) {
  std::vector<float> samples(count);
  std::iota(samples.begin(), samples.end(), first);
  return samples;
}

std::vector<float> read(PcmSource& source, size_t most) {
  std::vector<float> samples(most);
  samples.resize(source.try_read(samples));
  return samples;
}

TEST(PcmChannel, CarriesSamplesInOrderAcrossTheEndOfTheRing) {
  auto [sink, source] = make_pcm_channel(7);
  float next = 0;
  for (int round = 0; round < 10; ++round) {
    ASSERT_EQ(sink.push(ramp(5, next)), PushStatus::kAccepted);
    EXPECT_EQ(sink.buffered(), 5u);
    EXPECT_EQ(source.readable(), 5u);
    EXPECT_EQ(read(source, 3), ramp(3, next));
    EXPECT_EQ(read(source, 9), ramp(2, next + 3));
    next += 5;
  }
  EXPECT_TRUE(read(source, 9).empty());
}

TEST(PcmChannel, TakesAllOrNothing) {
  auto [sink, source] = make_pcm_channel(8);
  EXPECT_EQ(sink.writable(), 8u);
  ASSERT_EQ(sink.push(ramp(6)), PushStatus::kAccepted);
  EXPECT_EQ(sink.writable(), 2u);
  EXPECT_EQ(sink.push(ramp(3)), PushStatus::kFull);
  EXPECT_EQ(source.readable(), 6u);
  ASSERT_EQ(sink.push(ramp(2, 6)), PushStatus::kAccepted);
  EXPECT_EQ(read(source, 8), ramp(8));
}

TEST(PcmChannel, EndsAfterEverythingWasRead) {
  auto [sink, source] = make_pcm_channel(8);
  ASSERT_EQ(sink.push(ramp(4)), PushStatus::kAccepted);
  SpeechSummary summary;
  summary.samples = 4;
  summary.reason = FinishReason::kLength;
  EXPECT_FALSE(source.complete());
  sink.finish(summary);
  EXPECT_TRUE(source.complete());
  EXPECT_EQ(source.state(), PcmSource::State::kOpen);
  EXPECT_TRUE(source.wait_readable());
  EXPECT_EQ(read(source, 4).size(), 4u);
  EXPECT_FALSE(source.wait_readable());
  ASSERT_EQ(source.state(), PcmSource::State::kFinished);
  EXPECT_EQ(source.summary().samples, 4);
  EXPECT_EQ(source.summary().reason, FinishReason::kLength);
}

TEST(PcmChannel, AnErrorComesAfterTheSamplesBeforeIt) {
  auto [sink, source] = make_pcm_channel(8);
  ASSERT_EQ(sink.push(ramp(4)), PushStatus::kAccepted);
  sink.finish(Error{ErrorCode::kDeviceLost, "gone"});
  EXPECT_EQ(source.state(), PcmSource::State::kOpen);
  EXPECT_EQ(read(source, 8).size(), 4u);
  ASSERT_EQ(source.state(), PcmSource::State::kFailed);
  EXPECT_EQ(source.error().code, ErrorCode::kDeviceLost);
  EXPECT_EQ(source.error().message, "gone");
}

TEST(PcmChannel, AWriterThatGoesWithoutAnEndIsAnError) {
  auto [sink, source] = make_pcm_channel(8);
  { const PcmSink dropped = std::move(sink); }
  ASSERT_EQ(source.state(), PcmSource::State::kFailed);
  EXPECT_EQ(source.error().code, ErrorCode::kInternal);

  auto [second_sink, second_source] = make_pcm_channel(8);
  second_sink = PcmSink();
  EXPECT_EQ(second_source.state(), PcmSource::State::kFailed);
}

TEST(PcmChannel, TheReaderGoingAwayIsTheCancellation) {
  int calls = 0;
  auto [sink, source] = make_pcm_channel(8, [&] { ++calls; });
  ASSERT_EQ(sink.push(ramp(4)), PushStatus::kAccepted);
  EXPECT_FALSE(sink.closed());
  { const PcmSource dropped = std::move(source); }
  EXPECT_TRUE(sink.closed());
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(sink.push(ramp(1)), PushStatus::kClosed);
  sink.finish(Error{ErrorCode::kCancelled, "the reader went away"});

  auto [other_sink, other_source] = make_pcm_channel(8);
  other_source = PcmSource();
  EXPECT_TRUE(other_sink.closed());
}

TEST(PcmChannel, OnReadIsCalledOnlyWhenRoomWasMade) {
  int calls = 0;
  auto [sink, source] = make_pcm_channel(8, [&] { ++calls; });
  EXPECT_TRUE(read(source, 4).empty());
  EXPECT_EQ(calls, 0);
  ASSERT_EQ(sink.push(ramp(4)), PushStatus::kAccepted);
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(read(source, 2).size(), 2u);
  EXPECT_EQ(calls, 1);
}

TEST(PcmChannel, WakesTheReaderAfterEveryWriteAndAtTheEnd) {
  auto [sink, source] = make_pcm_channel(8);
  int calls = 0;
  source.notify([&] { ++calls; });
  EXPECT_EQ(calls, 0);
  ASSERT_EQ(sink.push(ramp(2)), PushStatus::kAccepted);
  EXPECT_EQ(calls, 1);
  ASSERT_EQ(sink.push({}), PushStatus::kAccepted);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(sink.push(ramp(8)), PushStatus::kFull);
  EXPECT_EQ(calls, 1);
  sink.finish(SpeechSummary{});
  EXPECT_EQ(calls, 2);
}

TEST(PcmChannel, WakesAtOnceIfSomethingIsThere) {
  auto [sink, source] = make_pcm_channel(8);
  ASSERT_EQ(sink.push(ramp(2)), PushStatus::kAccepted);
  int calls = 0;
  source.notify([&] { ++calls; });
  EXPECT_EQ(calls, 1);
  source.notify({});
  sink.finish(SpeechSummary{});
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(read(source, 2).size(), 2u);
  source.notify([&] { ++calls; });  // nothing to read, but the end is there
  EXPECT_EQ(calls, 2);
}

TEST(PcmChannel, TheWakeFunctionMayRead) {
  auto [sink, source] = make_pcm_channel(4);
  std::vector<float> heard;
  source.notify([&heard, reader = &source] {
    float samples[4];
    const size_t count = reader->try_read(samples);
    heard.insert(heard.end(), samples, samples + count);
  });
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(sink.push(ramp(4, static_cast<float>(4 * i))), PushStatus::kAccepted);
  }
  source.notify({});
  EXPECT_EQ(heard, ramp(20));
  sink.finish(SpeechSummary{});
}

// The three below are for the thread sanitizer as much as for their expectations.

TEST(PcmChannel, TwoThreadsLoseNothing) {
  constexpr size_t kSamples = 100'000;
  auto [sink, source] = make_pcm_channel(1000);
  std::thread writer([writing = std::move(sink)]() mutable {
    size_t written = 0;
    while (written < kSamples) {
      const size_t count = std::min({size_t{137}, kSamples - written, writing.writable()});
      if (writing.push(ramp(count, static_cast<float>(written))) == PushStatus::kAccepted) {
        written += count;
      }
      if (count == 0) std::this_thread::yield();
    }
    SpeechSummary summary;
    summary.samples = kSamples;
    writing.finish(summary);
  });
  std::vector<float> heard;
  std::vector<float> part(211);
  while (source.wait_readable()) {
    const size_t count = source.try_read(part);
    heard.insert(heard.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(count));
  }
  writer.join();
  EXPECT_EQ(heard, ramp(kSamples));
  EXPECT_EQ(source.summary().samples, static_cast<int64_t>(kSamples));
}

TEST(PcmChannel, AWakeFunctionTakenBackIsNeverCalledAgain) {
  for (int round = 0; round < 200; ++round) {
    auto [sink, source] = make_pcm_channel(100);
    std::atomic<bool> alive{true};
    std::atomic<bool> called_late{false};
    source.notify([&] { called_late = called_late || !alive; });
    std::thread writer([writing = std::move(sink)]() mutable {
      while (writing.push(ramp(1)) == PushStatus::kAccepted) {
      }
      writing.finish(SpeechSummary{});
    });
    source.notify({});
    alive = false;
    { const PcmSource dropped = std::move(source); }
    writer.join();
    EXPECT_FALSE(called_late);
  }
}

TEST(PcmChannel, ReaderAndWriterMayGoAtTheSameTime) {
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> reads{0};
    auto [sink, source] = make_pcm_channel(100, [&] { ++reads; });
    std::thread writer(
        [writing = std::move(sink)]() mutable { static_cast<void>(writing.push(ramp(3))); });
    { const PcmSource dropped = std::move(source); }
    writer.join();
    EXPECT_EQ(reads, 1);
  }
}

}  // namespace
}  // namespace lyre
