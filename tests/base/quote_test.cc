#include "lyre/base/quote.h"

#include <string>

#include <gtest/gtest.h>

namespace lyre {
namespace {

TEST(Quote, KeepsTextAndShowsEverythingElse) {
  EXPECT_EQ(quote("model.norm.weight"), "'model.norm.weight'");
  EXPECT_EQ(quote("\xC3\xA4"), "'\xC3\xA4'");
  EXPECT_EQ(quote(std::string_view("a\0\n\x1b[31m\x7f", 9)), "'a\\x00\\x0a\\x1b[31m\\x7f'");
  EXPECT_EQ(quote("\xC3("), "'\\xc3('");
  EXPECT_EQ(quote(""), "''");
}

TEST(Quote, CutsLongNamesBetweenCharacters) {
  EXPECT_EQ(quote("abcdef", 3), "'abc...'");
  EXPECT_EQ(quote("abc", 3), "'abc'");
  EXPECT_EQ(quote("ab\xE2\x82\xAC"
                  "d",
                  3),
            "'ab\xE2\x82\xAC...'");
  EXPECT_LT(quote(std::string(1'000'000, 'x')).size(), 200u);
}

}  // namespace
}  // namespace lyre
