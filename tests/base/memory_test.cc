#include "lyre/base/memory.h"

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

namespace lyre {
namespace {

TEST(Memory, PeakSeesATouchedBlock) {
  const int64_t before = peak_resident_bytes();
  EXPECT_GT(before, 0);
  const int64_t now = resident_bytes();
  EXPECT_GT(now, 0);
  {
    const std::vector<char> block(64 << 20, 'x');  // written, so resident
    EXPECT_GE(resident_bytes(), now + (60 << 20));
    EXPECT_EQ(block.back(), 'x');
  }
  EXPECT_GE(peak_resident_bytes(), now + (60 << 20));
}

}  // namespace
}  // namespace lyre
