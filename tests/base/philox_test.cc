#include "lyre/base/philox.h"

#include <cmath>
#include <cstdint>

#include <gtest/gtest.h>

namespace lyre {
namespace {

using Counter = std::array<uint32_t, 4>;
using Key = std::array<uint32_t, 2>;

// Known answers of the authors' library Random123 (kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32(Counter{0, 0, 0, 0}, Key{0, 0}),
            (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32(Counter{kOnes, kOnes, kOnes, kOnes}, Key{kOnes, kOnes}),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // The digits of pi.
  EXPECT_EQ(philox4x32(Counter{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                       Key{0xa4093822, 0x299f31d0}),
            (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(UniformFromBits, CoversZeroToBelowOne) {
  EXPECT_EQ(uniform_from_bits(0), 0.0f);
  EXPECT_EQ(uniform_from_bits(0x80000000), 0.5f);
  EXPECT_EQ(uniform_from_bits(0xffffffff), 1.0f - 0x1p-24f);
}

TEST(NormalFromBits, StaysFiniteAtTheEdges) {
  for (const uint32_t a : {0u, 0xffu, 0x100u, 0xffffff00u, 0xffffffffu}) {
    for (const uint32_t b : {0u, 0x40000000u, 0x80000000u, 0xffffffffu}) {
      for (const float value : normal_from_bits(a, b)) {
        EXPECT_TRUE(std::isfinite(value)) << a << " " << b;
        EXPECT_LE(std::abs(value), 5.77f);  // sqrt(-2 ln 2^-24)
      }
    }
  }
}

// Moments of 400,000 draws, the same in every run. The limits are five standard errors: of the mean
// of x^k, whose variance is 1, 2, 15 and 96 for k = 1..4.
TEST(NormalFromBits, HasTheMomentsOfANormalDistribution) {
  constexpr uint32_t kBlocks = 100'000;
  constexpr double kCount = 4.0 * kBlocks;
  double sum1 = 0, sum2 = 0, sum3 = 0, sum4 = 0, pair_product = 0;
  int64_t within_one = 0;
  for (uint32_t block = 0; block < kBlocks; ++block) {
    const Counter bits = philox4x32({block, 0, 0, 0}, {42, 7});
    for (const auto& pair :
         {normal_from_bits(bits[0], bits[1]), normal_from_bits(bits[2], bits[3])}) {
      pair_product += static_cast<double>(pair[0]) * static_cast<double>(pair[1]);
      for (const float value : pair) {
        const auto x = static_cast<double>(value);
        sum1 += x;
        sum2 += x * x;
        sum3 += x * x * x;
        sum4 += x * x * x * x;
        within_one += std::abs(x) < 1;
      }
    }
  }
  EXPECT_NEAR(sum1 / kCount, 0, 5 * std::sqrt(1 / kCount));
  EXPECT_NEAR(sum2 / kCount, 1, 5 * std::sqrt(2 / kCount));
  EXPECT_NEAR(sum3 / kCount, 0, 5 * std::sqrt(15 / kCount));
  EXPECT_NEAR(sum4 / kCount, 3, 5 * std::sqrt(96 / kCount));
  EXPECT_NEAR(pair_product / (kCount / 2), 0, 5 * std::sqrt(2 / kCount));
  EXPECT_NEAR(static_cast<double>(within_one) / kCount, 0.682689, 0.004);
}

}  // namespace
}  // namespace lyre
