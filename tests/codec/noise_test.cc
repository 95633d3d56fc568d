#include "lyre/codec/noise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace lyre {
namespace {

std::vector<float> noise(uint64_t seed, int block, int64_t first, size_t count) {
  std::vector<float> out(count);
  fill_noise(seed, block, first, out);
  return out;
}

TEST(Noise, DependsOnTheAbsoluteStepOnly) {
  const auto whole = noise(5, 2, 0, 1000);
  for (const int64_t first : {0, 1, 3, 4, 5, 497}) {
    for (const size_t count : {0u, 1u, 2u, 5u, 333u}) {
      const auto part = noise(5, 2, first, count);
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(part[i], whole[static_cast<size_t>(first) + i]) << first << " + " << i;
      }
    }
  }
}

TEST(Noise, SeedsAndBlocksAreIndependent) {
  const auto base = noise(5, 2, 0, 64);
  EXPECT_NE(noise(6, 2, 0, 64), base);
  EXPECT_NE(noise(5, 3, 0, 64), base);
  EXPECT_NE(noise(5 + (uint64_t{1} << 32), 2, 0, 64), base) << "all 64 bits of the seed count";
  EXPECT_NE(noise(5, 2, int64_t{1} << 35, 64), base) << "no period within a long speech";
}

TEST(Noise, IsStandardNormal) {
  constexpr size_t kCount = 200000;
  const auto values = noise(77, 0, 12345, kCount);
  double mean = 0, square = 0, fourth = 0, neighbour = 0;
  for (size_t i = 0; i < kCount; ++i) {
    const double x = double{values[i]};
    ASSERT_TRUE(std::isfinite(x));
    mean += x;
    square += x * x;
    fourth += x * x * x * x;
    if (i > 0) neighbour += x * double{values[i - 1]};
  }
  // Four standard errors of each estimate.
  const double n = kCount;
  EXPECT_NEAR(mean / n, 0, 4 / std::sqrt(n));
  EXPECT_NEAR(square / n, 1, 4 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n, 3, 4 * std::sqrt(96 / n));
  EXPECT_NEAR(neighbour / n, 0, 4 / std::sqrt(n));
}

}  // namespace
}  // namespace lyre
