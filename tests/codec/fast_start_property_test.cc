// However a speech is cut into pushes: as many samples as the codec gave, exact ones after the
// first chunk, and no jump larger than those of the two signals themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "lyre/codec/fast_start.h"

namespace lyre {
namespace {

TEST(FastStartProperty, CountIsExactAndOnlyTheStartIsProvisional) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto draw = [&](int low, int high) {
      return std::uniform_int_distribution<int>(low, high)(random);
    };
    const int frame_samples = draw(1, 64);
    const int frames = draw(1, 12);
    const int delay = draw(0, 3 * frame_samples);
    const int crossfade = draw(0, 2 * frame_samples);
    const bool enabled = draw(0, 3) != 0;
    const int total = frames * frame_samples;
    std::vector<float> exact(static_cast<size_t>(total));
    for (float& x : exact) x = static_cast<float>(draw(0, 1000)) / 1000.0f;

    FastStart fast(enabled, draw(1, 4), crossfade);
    std::vector<float> out;
    int pushed = 0, given = 0, preview_end = 0, fade_end = 0;
    while (pushed < frames) {
      pushed = std::min(frames, pushed + draw(1, 3));
      const bool finish = pushed == frames;
      const int final_end = finish ? total : std::max(given, pushed * frame_samples - delay);
      const bool preview = !finish && fast.wants_preview(pushed);
      // Differs from the exact samples everywhere.
      std::vector<float> provisional(
          preview ? static_cast<size_t>(pushed * frame_samples - final_end) : 0, 2.0f);
      const PcmSpan span{std::span<const float>(exact).subspan(
                             static_cast<size_t>(given), static_cast<size_t>(final_end - given)),
                         provisional};
      const int64_t expected = fast.samples_from(span);
      const size_t before = out.size();
      if (preview && before == 0 && !provisional.empty()) {
        preview_end = pushed * frame_samples;
        fade_end = preview_end;
        preview_end -= std::min(crossfade, static_cast<int>(provisional.size()));
      }
      fast.feed(span, out);
      EXPECT_EQ(static_cast<int64_t>(out.size() - before), expected);
      EXPECT_LE(out.size(), static_cast<size_t>(pushed * frame_samples)) << "samples of the future";
      given = final_end;
    }
    ASSERT_EQ(out.size(), exact.size());
    EXPECT_EQ(fast.emitted(), total);
    for (int i = fade_end; i < total; ++i) {
      ASSERT_EQ(out[static_cast<size_t>(i)], exact[static_cast<size_t>(i)]) << i;
    }
    for (int i = preview_end; i < fade_end; ++i) {  // strictly between the two
      ASSERT_GT(out[static_cast<size_t>(i)], exact[static_cast<size_t>(i)]) << i;
      ASSERT_LT(out[static_cast<size_t>(i)], 2.0f) << i;
    }
    if (!enabled) {
      ASSERT_EQ(out, exact);
    }
  }
}

}  // namespace
}  // namespace lyre
