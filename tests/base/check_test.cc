#include "lyre/base/check.h"

#include <gtest/gtest.h>

namespace lyre {
namespace {

TEST(CheckDeathTest, SaysWhatIsFalseAndWhere) {
  LYRE_CHECK(1 + 1 == 2);
  EXPECT_DEATH(LYRE_CHECK(1 + 1 == 3), "internal error: 1 \\+ 1 == 3 is false .*check_test.cc:");
}

}  // namespace
}  // namespace lyre
