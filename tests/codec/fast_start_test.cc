#include "lyre/codec/fast_start.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace lyre {
namespace {

std::vector<float> ramp(int count, float first = 0) {
  std::vector<float> v(static_cast<size_t>(count));
  std::iota(v.begin(), v.end(), first);
  return v;
}

TEST(FastStart, HandsExactSamplesThroughWhenOff) {
  FastStart fast(false, 1, 4);
  EXPECT_FALSE(fast.wants_preview(100));
  const auto exact = ramp(10);
  const std::vector<float> preview(6, -1.0f);
  std::vector<float> out;
  fast.feed({exact, preview}, out);
  EXPECT_EQ(out, exact);
  EXPECT_EQ(fast.provisional(), 0);
}

TEST(FastStart, AsksForAPreviewOnceTheFirstChunkIsThere) {
  FastStart fast(true, 2, 4);
  EXPECT_FALSE(fast.wants_preview(1));
  EXPECT_TRUE(fast.wants_preview(2));
  EXPECT_TRUE(fast.wants_preview(3)) << "the push that reached two frames may have had three";
  std::vector<float> out;
  fast.feed({{}, ramp(10)}, out);
  EXPECT_FALSE(fast.wants_preview(3));
}

TEST(FastStart, FirstChunkIsThePreviewButItsEnd) {
  FastStart fast(true, 1, 4);
  const auto preview = ramp(10, 100);
  const PcmSpan span{{}, preview};
  EXPECT_EQ(fast.samples_from(span), 6);
  std::vector<float> out;
  fast.feed(span, out);
  EXPECT_EQ(out, ramp(6, 100));
  EXPECT_EQ(fast.emitted(), 6);
  EXPECT_EQ(fast.provisional(), 6);
}

// B3 of the peers: the first chunk of seven ids was empty, and its arrival was taken for audio.
TEST(FastStart, B3_FirstChunkIsNotEmpty) {
  FastStart fast(true, 1, 120);
  std::vector<float> out;
  fast.feed({{}, ramp(2048)}, out);
  EXPECT_EQ(out.size(), 2048u - 120u);
}

TEST(FastStart, FadesFromPreviewToExact) {
  FastStart fast(true, 1, 3);
  std::vector<float> out;
  const std::vector<float> preview(8, 0.0f);
  fast.feed({{}, preview}, out);
  ASSERT_EQ(out.size(), 5u);
  const std::vector<float> exact(20, 1.0f);
  fast.feed({exact, {}}, out);
  ASSERT_EQ(out.size(), 20u);
  EXPECT_FLOAT_EQ(out[4], 0.0f);
  EXPECT_NEAR(out[5], 0.146447, 1e-6);
  EXPECT_NEAR(out[6], 0.5, 1e-6);
  EXPECT_NEAR(out[7], 0.853553, 1e-6);
  EXPECT_FLOAT_EQ(out[8], 1.0f);
}

TEST(FastStart, ExactSamplesThatCameBeforeThePreviewMakeItUseless) {
  FastStart fast(true, 4, 3);
  std::vector<float> out;
  fast.feed({ramp(5), {}}, out);
  EXPECT_FALSE(fast.wants_preview(4));
  fast.feed({ramp(5, 5), std::vector<float>(9, -1.0f)}, out);
  EXPECT_EQ(out, ramp(10));
}

TEST(FastStart, PreviewShorterThanTheFadeIsHeldBackWhole) {
  FastStart fast(true, 1, 100);
  std::vector<float> out;
  fast.feed({{}, ramp(10)}, out);
  EXPECT_TRUE(out.empty());
  fast.feed({ramp(30), {}}, out);
  EXPECT_EQ(out.size(), 30u);
}

}  // namespace
}  // namespace lyre
