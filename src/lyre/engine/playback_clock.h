#pragma once

#include <algorithm>

#include "lyre/base/clock.h"

namespace lyre {

/// When a listener runs dry who plays what he is sent at once and without a pause. A value; time is
/// an argument.
class PlaybackClock {
 public:
  PlaybackClock() = default;
  /// Who has heard nothing runs dry at his arrival.
  explicit PlaybackClock(TimePoint arrived) : dry_at_(arrived) {}

  /// Audio of this length was sent. A listener who had run dry goes on hearing from `now`.
  void on_audio(Clock::duration length, TimePoint now) {
    dry_at_ = std::max(dry_at_, now) + length;
  }
  TimePoint dry_at() const noexcept { return dry_at_; }
  Clock::duration lead(TimePoint now) const noexcept { return dry_at_ - now; }

 private:
  TimePoint dry_at_{};
};

}  // namespace lyre
