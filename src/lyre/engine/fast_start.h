#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace lyre {

/// Lets a stream begin before its first samples are final. The codec's preview (what would follow
/// if the speech ended here) goes out at once, but for its last few milliseconds, which wait for
/// the exact samples of the same place and are cross-faded into them. Whatever the preview, as many
/// samples come out as the exact stream has, in the same places. A value; allocates nothing after
/// construction but in `out`.
class FastStart {
 public:
  explicit FastStart(size_t fade_samples);

  /// Appends to `out`. final_samples: the exact samples that follow the earlier ones.
  /// preview_samples: follow final_samples provisionally; not empty at most once, first.
  void push(std::span<const float> final_samples, std::span<const float> preview_samples,
            std::vector<float>& out);

 private:
  size_t fade_samples_;
  size_t already_out_ = 0;   // exact samples to come whose places were filled from the preview
  std::vector<float> tail_;  // end of the preview, not put out
  size_t tail_at_ = 0;       // of tail_, cross-faded already
};

}  // namespace lyre
