#include "lyre/engine/segment_joint.h"

#include <algorithm>
#include <cmath>

namespace lyre {
namespace {

bool is_quiet(std::span<const float> samples) {
  return std::all_of(samples.begin(), samples.end(),
                     [](float x) { return std::abs(x) < SegmentJoint::kQuiet; });
}

}  // namespace

void SegmentJoint::shape(std::span<float> samples, bool last) noexcept {
  const auto gain = [&](size_t steps) {
    return static_cast<float>(steps) / static_cast<float>(fade_samples_ + 1);
  };
  if (position_ < fade_samples_ && !samples.empty()) {
    const auto head = samples.first(std::min(fade_samples_ - position_, samples.size()));
    if (position_ == 0) fading_in_ = !is_quiet(head);
    for (float& sample : head) {
      ++position_;
      if (fading_in_) sample *= gain(position_);
    }
  }
  if (!last) return;
  const auto tail = samples.last(std::min(fade_samples_, samples.size()));
  if (is_quiet(tail)) return;
  for (size_t i = 0; i < tail.size(); ++i) tail[i] *= gain(tail.size() - i);
}

}  // namespace lyre
