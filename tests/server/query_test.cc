#include "lyre/server/query.h"

#include <gtest/gtest.h>

namespace lyre::server {
namespace {

TEST(Query, UrlsAreDecoded) {
  EXPECT_EQ(decode_url("J%C3%bcrgen"), "J\u00fcrgen");
  EXPECT_EQ(decode_url("a+b"), "a+b");
  EXPECT_EQ(decode_url("%00"), std::string_view("\0", 1));
  for (const char* whole : {"", "%", "100%", "%4", "%zz", "%4x"}) {
    EXPECT_EQ(decode_url(whole), whole);
  }
}

TEST(Query, FindsTheFirstValueOfAName) {
  EXPECT_EQ(query_value("a=1&b=2&b=3", "b"), "2");
  EXPECT_EQ(query_value("a=1&b=2", "c"), std::nullopt);
  EXPECT_EQ(query_value("ab=1&b=2", "b"), "2");
  EXPECT_EQ(query_value("", "a"), std::nullopt);
  EXPECT_EQ(query_value("a", "a"), "");
  EXPECT_EQ(query_value("a=", "a"), "");
  EXPECT_EQ(query_value("&&a=x=y&", "a"), "x=y");
  EXPECT_EQ(query_value("voice=J%C3%BCrgen+der%20Zweite%2B", "voice"), "J\u00fcrgen der Zweite+");
  EXPECT_EQ(query_value("output%5Fformat=pcm_24000", "output_format"), "pcm_24000");
}

}  // namespace
}  // namespace lyre::server
