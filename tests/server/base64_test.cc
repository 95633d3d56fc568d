#include "lyre/server/base64.h"

#include <gtest/gtest.h>

namespace lyre::server {
namespace {

std::string base64(std::string_view bytes) {
  std::string out = "before ";
  append_base64(bytes, out);
  EXPECT_TRUE(out.starts_with("before "));
  return out.substr(7);
}

TEST(Base64, ExamplesOfTheStandard) {  // RFC 4648, 10
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
}

TEST(Base64, EveryDigitAndBytesThatAreNoText) {
  std::string bytes;
  for (int group = 0; group < 64; group += 4) {
    const int bits = group << 18 | (group + 1) << 12 | (group + 2) << 6 | (group + 3);
    bytes += static_cast<char>(bits >> 16);
    bytes += static_cast<char>(bits >> 8 & 255);
    bytes += static_cast<char>(bits & 255);
  }
  EXPECT_EQ(base64(bytes), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
  EXPECT_EQ(base64(std::string_view("\xff\0", 2)), "/wA=");
}

}  // namespace
}  // namespace lyre::server
