#include <gtest/gtest.h>

#include <string>

#include "lyre/base/trace.h"
#include "server/running_server.h"
#include "server/test_client.h"

namespace lyre::server {
namespace {

constinit trace::Operation kWork("test.work");

class Profile : public test::RunningServer {
 protected:
  void TearDown() override {
    trace::stop();
    RunningServer::TearDown();
  }
};

TEST_F(Profile, IsNotThereWhileNothingIsRecorded) {
  open();
  for (const char* path : {"/v1/profile", "/v1/profile/trace"}) {
    const auto response = test::TestClient(port()).exchange(test::get(path));
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_NE(response.body.find("profiling_off"), std::string::npos) << path;
  }
}

TEST_F(Profile, AnswersFromTheBackground) {
  open();
  trace::start();
  { const trace::Span span(kWork); }
  for (const char* path : {"/v1/profile", "/v1/profile/trace"}) {
    const auto response = test::TestClient(port()).exchange(test::get(path));
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_NE(response.body.find("test.work"), std::string::npos) << path;
  }
}

}  // namespace
}  // namespace lyre::server
