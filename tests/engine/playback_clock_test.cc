#include "lyre/engine/playback_clock.h"

#include <gtest/gtest.h>

namespace lyre {
namespace {

using std::chrono::milliseconds;

TEST(PlaybackClock, AudioAddsUpWhileItPlays) {
  const TimePoint start{};
  PlaybackClock clock(start);
  EXPECT_EQ(clock.dry_at(), start);
  clock.on_audio(milliseconds(100), start + milliseconds(20));
  EXPECT_EQ(clock.dry_at(), start + milliseconds(120));
  clock.on_audio(milliseconds(100), start + milliseconds(50));
  EXPECT_EQ(clock.dry_at(), start + milliseconds(220));
  EXPECT_EQ(clock.lead(start + milliseconds(200)), milliseconds(20));
}

TEST(PlaybackClock, AListenerWhoRanDryGoesOnFromNow) {
  const TimePoint start{};
  PlaybackClock clock(start);
  clock.on_audio(milliseconds(100), start);
  EXPECT_EQ(clock.lead(start + milliseconds(150)), milliseconds(-50));
  clock.on_audio(milliseconds(100), start + milliseconds(1000));
  EXPECT_EQ(clock.dry_at(), start + milliseconds(1100));
}

}  // namespace
}  // namespace lyre
