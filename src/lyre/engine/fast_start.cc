#include "lyre/engine/fast_start.h"

#include <algorithm>

#include "lyre/base/check.h"

namespace lyre {

FastStart::FastStart(size_t fade_samples) : fade_samples_(fade_samples) {
  tail_.reserve(fade_samples);
}

void FastStart::push(std::span<const float> final_samples, std::span<const float> preview_samples,
                     std::vector<float>& out) {
  const size_t skipped = std::min(already_out_, final_samples.size());
  already_out_ -= skipped;
  final_samples = final_samples.subspan(skipped);

  const size_t fading = std::min(tail_.size() - tail_at_, final_samples.size());
  for (size_t i = 0; i < fading; ++i) {
    // Linear: both sides are versions of the same sound, so their levels add up, not their powers.
    const float exact = static_cast<float>(tail_at_ + 1) / static_cast<float>(tail_.size() + 1);
    out.push_back(exact * final_samples[i] + (1.0f - exact) * tail_[tail_at_]);
    ++tail_at_;
  }
  final_samples = final_samples.subspan(fading);
  out.insert(out.end(), final_samples.begin(), final_samples.end());

  if (preview_samples.empty()) return;
  LYRE_CHECK(tail_.empty() && already_out_ == 0);
  const auto tail = preview_samples.last(std::min(fade_samples_, preview_samples.size()));
  tail_.assign(tail.begin(), tail.end());
  already_out_ = preview_samples.size() - tail.size();
  out.insert(out.end(), preview_samples.begin(), tail.begin());
}

}  // namespace lyre
