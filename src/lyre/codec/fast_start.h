#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lyre/codec/codec.h"

namespace lyre {

/// Turns what a codec gives for one stream into the samples that a listener gets.
///
/// Exact samples need 2.5 frames of right context. With fast start the first chunk does not wait:
/// it is the preview (decoded as if the speech ended there) of the first frames. The preview's last
/// `crossfade_samples` are held back and faded into the exact samples of the same moments once
/// these are there; everything after is exact. The number of samples is the codec's, none twice,
/// none missing. Disabled, it hands the exact samples through.
///
/// A value; one a stream. Allocates at construction only (feed() grows `out`).
class FastStart {
 public:
  FastStart(bool enabled, int first_chunk_frames, int crossfade_samples);

  /// Whether the push that brings the stream to `frames_pushed` frames should ask for a preview.
  bool wants_preview(int64_t frames_pushed) const noexcept;

  /// Samples that the next feed() of this span appends: for sizing buffers.
  int64_t samples_from(const PcmSpan& span) const noexcept;

  /// Appends what can be sent after this push. Final samples must come in order and complete; the
  /// last push of a speech (finish) makes everything final, so nothing is left here.
  void feed(const PcmSpan& span, std::vector<float>& out);

  /// Samples appended so far.
  int64_t emitted() const noexcept { return emitted_; }
  /// How many of them came from the preview, cross-faded ones not counted.
  int64_t provisional() const noexcept { return provisional_; }

 private:
  bool starts_with(const PcmSpan& span) const noexcept;

  bool enabled_;
  int first_chunk_frames_;
  int64_t crossfade_samples_;
  std::vector<float> held_;  // preview samples of the moments emitted_ ...
  int64_t received_ = 0;     // final samples seen
  int64_t emitted_ = 0;
  int64_t provisional_ = 0;
  int64_t fade_begin_ = 0;  // moment of held_[0]
};

}  // namespace lyre
