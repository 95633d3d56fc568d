#include "lyre/base/parse_switch.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace lyre {
namespace {

TEST(ParseSwitch, EveryWordInAnyCase) {
  for (const char* yes : {"true", "TRUE", "True", "1", "yes", "Yes", "on", "ON"}) {
    const auto value = parse_switch(yes);
    ASSERT_TRUE(value) << yes;
    EXPECT_TRUE(*value) << yes;
  }
  for (const char* no : {"false", "FALSE", "0", "no", "NO", "off", "Off"}) {
    const auto value = parse_switch(no);
    ASSERT_TRUE(value) << no;
    EXPECT_FALSE(*value) << no;
  }
}

TEST(ParseSwitch, AnythingElseIsAnError) {
  for (const char* other : {"", "2", "tru", "true ", "enabled", "\xC3\xA4"}) {
    const auto value = parse_switch(other);
    ASSERT_FALSE(value) << other;
    EXPECT_EQ(value.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(ParseSwitch, TheEnvironmentIsNamed) {
  constexpr const char* kName = "LYRE_TEST_SWITCH";
  ::unsetenv(kName);
  EXPECT_TRUE(*switch_from_environment(kName, true));
  EXPECT_FALSE(*switch_from_environment(kName, false));
  ::setenv(kName, "", 1);
  EXPECT_TRUE(*switch_from_environment(kName, true));
  ::setenv(kName, "Off", 1);
  EXPECT_FALSE(*switch_from_environment(kName, true));
  ::setenv(kName, "maybe", 1);
  const auto value = switch_from_environment(kName, true);
  ASSERT_FALSE(value);
  EXPECT_NE(value.error().message.find(kName), std::string::npos);
  EXPECT_NE(value.error().message.find("'maybe'"), std::string::npos) << value.error().message;
  ::unsetenv(kName);
}

}  // namespace
}  // namespace lyre
