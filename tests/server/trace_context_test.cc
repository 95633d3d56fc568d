#include "lyre/server/trace_context.h"

#include <gtest/gtest.h>

namespace lyre::server {
namespace {

TEST(TraceContext, TakesTheIdOfAWellFormedHeaderOnly) {
  const std::string id = "0af7651916cd43dd8448eb211c80319c";
  EXPECT_EQ(trace_id("00-" + id + "-b7ad6b7169203331-01"), id);
  EXPECT_EQ(trace_id("cc-" + id + "-b7ad6b7169203331-01-later"), id);
  for (const std::string& bad :
       {std::string(), id, "ff-" + id + "-b7ad6b7169203331-01",
        "00-" + id + "-b7ad6b7169203331-01-later", "00-" + id + "-b7ad6b7169203331-01x",
        "00-" + id + "-0000000000000000-01",
        std::string("00-00000000000000000000000000000000-b7ad6b7169203331-01"),
        std::string("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"),
        "00_" + id + "-b7ad6b7169203331-01"}) {
    EXPECT_EQ(trace_id(bad), "") << bad;
  }
}

}  // namespace
}  // namespace lyre::server
