#include "lyre/server/service_warmup.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "server/fake_warmup.h"

namespace lyre::server::test {
namespace {

class ServiceWarmupTest : public testing::Test {
 protected:
  void prepare() {
    SpeechService service;
    fake.join(service);
    warmup.prepare(std::make_shared<const SpeechService>(std::move(service)), {});
  }

  FakeWarmup fake;
  Readiness readiness{ReadyWhen::kWarm, 1};
  ServiceWarmup warmup{readiness};
};

TEST_F(ServiceWarmupTest, NothingRunsBeforeThereIsAService) {
  EXPECT_FALSE(warmup.request([](const WarmupResult&) { ADD_FAILURE() << "answered"; }));
}

TEST_F(ServiceWarmupTest, RequestsDuringARunJoinIt) {
  prepare();
  fake.hold();
  std::atomic<int> answered{0}, warm{0};
  const auto count = [&](const WarmupResult& result) {
    if (result.report.warm) ++warm;
    ++answered;
  };
  // Each has joined when request() returns: the first run cannot end before it is let go.
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(warmup.request(count));
  ASSERT_TRUE(fake.is_held());
  EXPECT_EQ(answered, 0);
  fake.let_go();
  EXPECT_TRUE(eventually([&] { return answered == 3; }));
  EXPECT_EQ(warm, 3);
  EXPECT_EQ(fake.runs(), 1);
  ASSERT_TRUE(warmup.request(count));
  EXPECT_TRUE(eventually([&] { return answered == 4; }));
  EXPECT_EQ(fake.runs(), 2);
}

TEST_F(ServiceWarmupTest, AfterTheStopNothingRuns) {
  prepare();
  warmup.request_stop();
  EXPECT_FALSE(warmup.request([](const WarmupResult&) { ADD_FAILURE() << "answered"; }));
  EXPECT_EQ(fake.runs(), 0);
}

}  // namespace
}  // namespace lyre::server::test
