#include "lyre/server/request_id.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace lyre::server {
namespace {

TEST(RequestId, KeepsASaneOne) {
  EXPECT_EQ(request_id("abc-1.2_Z"), "abc-1.2_Z");
  EXPECT_EQ(request_id(std::string(128, 'a')), std::string(128, 'a'));
}

TEST(RequestId, ReplacesWhatCouldHarmALogOrAHeader) {
  const std::string bad[] = {"",
                             "a b",
                             "a\r\nx: y",
                             "a\"b",
                             "\xc3\xa4",
                             "a\tb",
                             "<>",
                             std::string("a\0b", 3),
                             std::string(129, 'a')};
  for (const std::string& id : bad) {
    const std::string made = request_id(id);
    EXPECT_TRUE(made.starts_with("req_")) << made;
    EXPECT_EQ(made.size(), 36u) << made;
  }
}

TEST(RequestId, NewOnesDiffer) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(request_id(""));
  EXPECT_EQ(ids.size(), 1000u);
}

}  // namespace
}  // namespace lyre::server
