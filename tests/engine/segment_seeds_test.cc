#include "lyre/engine/segment_seeds.h"

#include <gtest/gtest.h>

namespace lyre {
namespace {

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
