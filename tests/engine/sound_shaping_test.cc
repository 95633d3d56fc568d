// FastStart and SegmentJoint: what is done to samples between codec and channel.

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "lyre/engine/fast_start.h"
#include "lyre/engine/segment_joint.h"
#include "lyre/engine/segment_seeds.h"

namespace lyre {
namespace {

std::vector<float> ramp(size_t count, float first) {
  std::vector<float> samples(count);
  std::iota(samples.begin(), samples.end(), first);
  return samples;
}

TEST(FastStart, WithoutPreviewNothingChanges) {
  FastStart start(4);
  std::vector<float> out;
  start.push(ramp(10, 0), {}, out);
  start.push(ramp(5, 10), {}, out);
  EXPECT_EQ(out, ramp(15, 0));
}

TEST(FastStart, ThePreviewGoesOutAtOnceButForItsTail) {
  FastStart start(4);
  std::vector<float> out;
  start.push(ramp(3, 0), ramp(10, 100), out);
  ASSERT_EQ(out.size(), 9u);
  EXPECT_EQ(out[2], 2.0f);
  EXPECT_EQ(out[3], 100.0f);
  EXPECT_EQ(out[8], 105.0f);
}

// B3: a first chunk that is empty, or sent again, or stuttering. Whatever the cuts, every place is
// filled once, and behind the fade everything is exact.
TEST(FastStart, PeerFaultB3EveryPlaceIsFilledOnceForAnyCut) {
  constexpr size_t kFade = 4, kFinalFirst = 3, kPreview = 10, kTotal = 40;
  const std::vector<float> exact(kTotal, 1.0f);
  const std::vector<float> preview(kPreview, 0.0f);
  for (size_t cut = 1; cut <= kTotal; ++cut) {
    FastStart start(kFade);
    std::vector<float> out;
    start.push(std::span(exact).first(kFinalFirst), preview, out);
    for (size_t at = kFinalFirst; at < kTotal; at += cut) {
      start.push(std::span(exact).subspan(at, std::min(cut, kTotal - at)), {}, out);
    }
    ASSERT_EQ(out.size(), kTotal) << "cut " << cut;
    for (size_t i = 0; i < kTotal; ++i) {
      const size_t fade_from = kFinalFirst + kPreview - kFade;
      const float expected = i < kFinalFirst         ? 1.0f
                             : i < fade_from         ? 0.0f
                             : i < fade_from + kFade ? static_cast<float>(i - fade_from + 1) / 5.0f
                                                     : 1.0f;
      ASSERT_FLOAT_EQ(out[i], expected) << "cut " << cut << " sample " << i;
    }
  }
}

TEST(FastStart, APreviewShorterThanTheFade) {
  FastStart start(4);
  std::vector<float> out;
  start.push({}, std::vector<float>(2, 0.0f), out);
  EXPECT_TRUE(out.empty());
  start.push(std::vector<float>(5, 3.0f), {}, out);
  EXPECT_EQ(out.size(), 5u);
  EXPECT_FLOAT_EQ(out[0], 1.0f);
  EXPECT_FLOAT_EQ(out[1], 2.0f);
  EXPECT_FLOAT_EQ(out[2], 3.0f);
}

TEST(SegmentJoint, TheEdgesOfARequestAreLeftAlone) {
  SegmentJoint joint(4);
  std::vector<float> samples(10, 0.5f);
  joint.shape(samples, false);
  EXPECT_EQ(samples, std::vector<float>(10, 0.5f));
}

TEST(SegmentJoint, FadesALoudJointToAndFromSilence) {
  SegmentJoint joint(4);
  std::vector<float> end(10, 0.5f);
  joint.shape(end, true);
  EXPECT_EQ(end[5], 0.5f);
  EXPECT_FLOAT_EQ(end[6], 0.4f);
  EXPECT_FLOAT_EQ(end[9], 0.1f);
  joint.next_segment();
  std::vector<float> head(2, 0.5f), rest(10, 0.5f);
  joint.shape(head, false);
  joint.shape(rest, false);
  EXPECT_FLOAT_EQ(head[0], 0.1f);
  EXPECT_FLOAT_EQ(head[1], 0.2f);
  EXPECT_FLOAT_EQ(rest[0], 0.3f);
  EXPECT_FLOAT_EQ(rest[1], 0.4f);
  EXPECT_EQ(rest[2], 0.5f);
  // Once a segment: what follows is left alone.
  joint.shape(rest, false);
  EXPECT_EQ(rest[9], 0.5f);
}

TEST(SegmentJoint, AQuietJointKeepsTheSamplesOfTheCodec) {
  SegmentJoint joint(4);
  std::vector<float> end(10, 0.5f);
  std::fill(end.begin() + 6, end.end(), 0.003f);
  const std::vector<float> before = end;
  joint.shape(end, true);
  EXPECT_EQ(end, before);
  joint.next_segment();
  std::vector<float> head(10, 0.5f);
  std::fill(head.begin(), head.begin() + 4, -0.003f);
  const std::vector<float> head_before = head;
  joint.shape(head, false);
  EXPECT_EQ(head, head_before);
}

TEST(SegmentSeeds, DependOnSeedAndSegmentAndDifferFromEachOther) {
  const SegmentSeeds first = segment_seeds(7, 0);
  EXPECT_EQ(first.sampling, segment_seeds(7, 0).sampling);
  EXPECT_EQ(first.noise, segment_seeds(7, 0).noise);
  EXPECT_NE(first.sampling, first.noise);
  EXPECT_NE(first.sampling, segment_seeds(7, 1).sampling);
  EXPECT_NE(first.sampling, segment_seeds(8, 0).sampling);
  EXPECT_NE(first.sampling, segment_seeds(7 + (uint64_t{1} << 32), 0).sampling);
}

}  // namespace
}  // namespace lyre
