#include "lyre/codec/fast_start.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "lyre/base/check.h"

namespace lyre {
namespace {

// Raised cosine, equal gain: both signals are the same speech, nearly in phase. Strictly between 0
// and 1 for the samples of the fade.
float weight_of_exact(int64_t index, int64_t length) {
  const float phase = static_cast<float>(index + 1) / static_cast<float>(length + 1);
  return 0.5f - 0.5f * std::cos(std::numbers::pi_v<float> * phase);
}

int64_t length(std::span<const float> samples) { return static_cast<int64_t>(samples.size()); }

}  // namespace

FastStart::FastStart(bool enabled, int first_chunk_frames, int crossfade_samples)
    : enabled_(enabled),
      first_chunk_frames_(std::max(1, first_chunk_frames)),
      crossfade_samples_(std::max(0, crossfade_samples)) {
  held_.reserve(enabled ? static_cast<size_t>(crossfade_samples_) : 0);
}

bool FastStart::wants_preview(int64_t frames_pushed) const noexcept {
  return enabled_ && emitted_ == 0 && frames_pushed >= first_chunk_frames_;
}

// Only the very first chunk is provisional.
bool FastStart::starts_with(const PcmSpan& span) const noexcept {
  return enabled_ && emitted_ == 0 && !span.preview_samples.empty();
}

int64_t FastStart::samples_from(const PcmSpan& span) const noexcept {
  const int64_t exact_end = received_ + length(span.final_samples);
  if (!starts_with(span)) return std::max<int64_t>(0, exact_end - emitted_);
  const int64_t preview = length(span.preview_samples);
  return exact_end + preview - std::min(crossfade_samples_, preview);
}

void FastStart::feed(const PcmSpan& span, std::vector<float>& out) {
  const int64_t first = received_;  // moment of final_samples[0]
  received_ += length(span.final_samples);
  if (starts_with(span)) {
    LYRE_CHECK(first == 0);
    const int64_t preview = length(span.preview_samples);
    const int64_t held = std::min(crossfade_samples_, preview);
    const auto sent = span.preview_samples.first(static_cast<size_t>(preview - held));
    out.insert(out.end(), span.final_samples.begin(), span.final_samples.end());
    out.insert(out.end(), sent.begin(), sent.end());
    held_.assign(span.preview_samples.end() - held, span.preview_samples.end());
    provisional_ = length(sent);
    emitted_ = received_ + provisional_;
    fade_begin_ = emitted_;
    return;
  }
  const int64_t fade = length(held_);
  for (int64_t moment = std::max(emitted_, first); moment < received_; ++moment) {
    float sample = span.final_samples[static_cast<size_t>(moment - first)];
    const int64_t into_fade = moment - fade_begin_;
    if (into_fade < fade) {
      const float exact = weight_of_exact(into_fade, fade);
      sample = exact * sample + (1.0f - exact) * held_[static_cast<size_t>(into_fade)];
    }
    out.push_back(sample);
  }
  emitted_ = std::max(emitted_, received_);
}

}  // namespace lyre
