#include "lyre/engine/segment_joint.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

namespace lyre {
namespace {

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

}  // namespace
}  // namespace lyre
