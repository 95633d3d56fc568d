#include "lyre/server/request_times.h"

#include <gtest/gtest.h>

namespace lyre::server {
namespace {

AccessRecord spoken(double first_audio_ms, double total_ms) {
  AccessRecord record;
  record.speech = true;
  record.finish = "stop";
  record.first_audio_ms = first_audio_ms;
  record.duration_ms = total_ms;
  return record;
}

TEST(RequestTimes, TheFirstIsKeptApart) {
  RequestTimes times;
  EXPECT_FALSE(times.first().has_value());
  times.add(spoken(100, 200));
  ASSERT_TRUE(times.first().has_value());
  EXPECT_EQ(times.first()->first_audio_ms, 100);
  EXPECT_EQ(times.first()->total_ms, 200);
  EXPECT_FALSE(times.steady().has_value());
  times.add(spoken(3, 7));
  EXPECT_EQ(times.first()->first_audio_ms, 100);
  EXPECT_EQ(times.steady()->first_audio_ms, 3);
  EXPECT_EQ(times.steady()->total_ms, 7);
}

TEST(RequestTimes, SteadyIsTheMedianOfEach) {
  RequestTimes times;
  times.add(spoken(100, 200));
  for (const double ms : {1.0, 9.0, 2.0, 8.0}) times.add(spoken(ms, 100 - ms));
  EXPECT_EQ(times.steady()->first_audio_ms, 5);  // of 1 2 8 9
  EXPECT_EQ(times.steady()->total_ms, 95);
  times.add(spoken(3, 90));
  EXPECT_EQ(times.steady()->first_audio_ms, 3);
  EXPECT_EQ(times.steady()->total_ms, 92);  // of 90 91 92 98 99
}

TEST(RequestTimes, OnlyTheLast101Count) {
  RequestTimes times;
  times.add(spoken(0, 0));
  for (int i = 0; i < 500; ++i) times.add(spoken(1000, 1000));
  for (int i = 0; i < 101; ++i) times.add(spoken(i, i));
  EXPECT_EQ(times.steady()->first_audio_ms, 50);
  EXPECT_EQ(times.first()->total_ms, 0);
}

TEST(RequestTimes, LeavesOutWhatIsNoWholeSpeechOfOthers) {
  RequestTimes times;
  AccessRecord own = spoken(1, 1), early = spoken(1, 1), list = spoken(1, 1), left = spoken(1, 1),
               failed = spoken(1, 1), cut = spoken(2, 2);
  own.warm_up = true;
  early.early = true;
  list.speech = false;
  left.finish = "disconnected";
  failed.finish = "failed";
  cut.finish = "length";
  for (const AccessRecord& record : {own, early, list, left, failed}) times.add(record);
  EXPECT_FALSE(times.first().has_value());
  times.add(cut);
  EXPECT_EQ(times.first()->total_ms, 2);
}

}  // namespace
}  // namespace lyre::server
