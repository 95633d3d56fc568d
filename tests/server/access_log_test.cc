#include "lyre/server/access_log.h"

#include <gtest/gtest.h>

#include "lyre/base/log.h"

namespace lyre::server {
namespace {

std::string logged(const AccessRecord& record) {
  configure_logging({.level = LogLevel::kDebug});
  testing::internal::CaptureStderr();
  log_access(record);
  std::string line = testing::internal::GetCapturedStderr();
  configure_logging({.level = LogLevel::kOff});
  return line;
}

AccessRecord record_of(const char* path, int status) {
  AccessRecord record;
  record.method = "GET";
  record.path = path;
  record.status = status;
  return record;
}

TEST(AccessLog, RequestsAreInformationAndFailuresWarnings) {
  EXPECT_NE(logged(record_of("/v1/models", 200)).find(" info request "), std::string::npos);
  EXPECT_NE(logged(record_of("/v1/models", 404)).find(" info request "), std::string::npos);
  EXPECT_NE(logged(record_of("/v1/models", 503)).find(" warning request "), std::string::npos);
  AccessRecord cut = record_of("/v1/audio/speech", 200);
  cut.speech = true;
  cut.finish = "length";
  EXPECT_NE(logged(cut).find(" warning speech "), std::string::npos);
}

TEST(AccessLog, ProbesAndTheServersOwnRequestsAreDetails) {
  for (const char* probe : {"/readyz", "/healthz", "/metrics"}) {
    EXPECT_NE(logged(record_of(probe, 503)).find(" debug request "), std::string::npos) << probe;
  }
  AccessRecord own = record_of("/v1/audio/speech", 500);
  own.warm_up = true;
  EXPECT_NE(logged(own).find(" debug request "), std::string::npos);
}

}  // namespace
}  // namespace lyre::server
