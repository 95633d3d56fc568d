#pragma once

#include <cstddef>
#include <span>

namespace lyre {

/// Keeps the joint of two segments free of clicks. Segments are separate utterances that mostly
/// begin and end in silence; where one does not, its outermost few milliseconds are faded. Levels
/// below -50 dBFS are left alone, so that the samples of a quiet joint are those of the codec. No
/// sample is added or removed. A value; one for each request.
class SegmentJoint {
 public:
  static constexpr float kQuiet = 0.00316f;  // -50 dBFS

  explicit SegmentJoint(size_t fade_samples) : fade_samples_(fade_samples) {}

  /// The samples that follow belong to the next segment.
  void next_segment() noexcept { position_ = 0; }

  /// In place. last: the segment ends with these samples and another will follow. Its end is faded
  /// within these samples only: the codec's last flush is far longer than the fade.
  void shape(std::span<float> samples, bool last) noexcept;

 private:
  size_t fade_samples_;
  size_t position_ = static_cast<size_t>(-1);  // in the segment, up to the end of the fade; the
                                               // first segment is not faded in
  bool fading_in_ = false;
};

}  // namespace lyre
