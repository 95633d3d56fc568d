#include "lyre/base/log.h"

#include <cstdlib>
#include <limits>
#include <regex>
#include <string>

#include <gtest/gtest.h>

namespace lyre {
namespace {

constexpr char kTime[] = R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)";

class Logging : public testing::Test {
 protected:
  ~Logging() override { configure_logging({.level = LogLevel::kWarning}); }

  // What `write` puts on standard error, without the time of the line.
  template <class Write>
  static std::string written(Write write) {
    testing::internal::CaptureStderr();
    write();
    return std::regex_replace(testing::internal::GetCapturedStderr(), std::regex(kTime), "TIME");
  }
};

TEST_F(Logging, Text) {
  configure_logging({.level = LogLevel::kDebug});
  EXPECT_EQ(written([] {
              log_info("engine ready", {{"voice", "demo"},
                                        {"load_ms", 81.5},
                                        {"threads", 2},
                                        {"bytes", uint64_t{1} << 63},
                                        {"warm", true}});
            }),
            "TIME info engine ready voice=demo load_ms=81.5 threads=2 bytes=9223372036854775808 "
            "warm=true\n");
  EXPECT_EQ(written([] { log_error("x"); }), "TIME error x\n");
}

// A field out of a request must not be able to forge a line or a field.
TEST_F(Logging, TextQuotesForeignValues) {
  configure_logging({.level = LogLevel::kInfo});
  EXPECT_EQ(written([] {
              log_info("refused", {{"voice", std::string("a b=c\nTIME error")}, {"empty", ""}});
            }),
            "TIME info refused voice='a b=c\\x0aTIME error' empty=''\n");
}

TEST_F(Logging, Json) {
  configure_logging({.level = LogLevel::kInfo, .format = LogFormat::kJson});
  EXPECT_EQ(written([] {
              log_warning("a \"quoted\"\\\n\x01",
                          {{"n", -1},
                           {"x", 0.1},
                           {"ok", false},
                           {"name", "\xC3\xA4\xFF"},
                           {"nan", std::numeric_limits<double>::quiet_NaN()}});
            }),
            "{\"time\":\"TIME\",\"level\":\"warning\",\"message\":"
            "\"a \\\"quoted\\\"\\\\\\u000a\\u0001\",\"n\":-1,\"x\":0.1,\"ok\":false,"
            "\"name\":\"\xC3\xA4\\ufffd\",\"nan\":null}\n");
}

TEST_F(Logging, WritesOnlyFromTheLevelUp) {
  const auto all = [] {
    log_debug("d");
    log_info("i");
    log_warning("w");
    log_error("e");
    log(LogLevel::kOff, "never");
  };
  configure_logging({.level = LogLevel::kWarning});
  EXPECT_EQ(written(all), "TIME warning w\nTIME error e\n");
  configure_logging({.level = LogLevel::kOff});
  EXPECT_EQ(written(all), "");
}

TEST_F(Logging, BracesOfAMessageAreNoFormat) {
  configure_logging({.level = LogLevel::kInfo});
  EXPECT_EQ(written([] { log_info("{} {0} %v"); }), "TIME info {} {0} %v\n");
}

TEST_F(Logging, SettingsFromTheEnvironment) {
  ::setenv("LOG_LEVEL", "DEBUG", 1);
  ::setenv("LOG_FORMAT", "json", 1);
  const auto settings = log_settings_from_environment();
  ::setenv("LOG_LEVEL", "", 1);
  ::unsetenv("LOG_FORMAT");
  const auto defaults = log_settings_from_environment({.level = LogLevel::kError});
  ::setenv("LOG_LEVEL", "loud", 1);
  const auto wrong = log_settings_from_environment();
  ::unsetenv("LOG_LEVEL");

  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->level, LogLevel::kDebug);
  EXPECT_EQ(settings->format, LogFormat::kJson);
  ASSERT_TRUE(defaults.ok());
  EXPECT_EQ(defaults->level, LogLevel::kError);
  EXPECT_EQ(defaults->format, LogFormat::kText);
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().message.find("'loud'"), std::string::npos);
  EXPECT_FALSE(parse_log_format("xml").ok());
}

}  // namespace
}  // namespace lyre
