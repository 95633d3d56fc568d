#include "lyre/engine/keep_warm.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "engine/fake_models.h"
#include "lyre/base/log.h"

namespace lyre {
namespace {

/// The step itself, without an engine that calls it; that is in engine_warmup_test.cc.
class KeepWarmStep : public testing::Test {
 protected:
  void SetUp() override { configure_logging({.level = LogLevel::kOff}); }

  test::FakeLanguageModel model;
  test::FakeCodec codec;
  const CodeLayout layout = test::fake_layout();
  const std::function<void(const std::function<bool()>&)> step = keep_warm(model, codec, layout);
};

TEST_F(KeepWarmStep, RunsATokenAndAFrame) {
  step([] { return false; });
  EXPECT_EQ(model.steps(), 1);
  EXPECT_EQ(codec.pushes(), 1);
  EXPECT_EQ(codec.free_streams(), codec.info().max_streams);
}

TEST_F(KeepWarmStep, GivesWayToARequest) {
  step([] { return true; });
  EXPECT_EQ(model.steps(), 0);
  EXPECT_EQ(codec.pushes(), 0);
  step([this] { return model.steps() > 0; });  // it comes during the first part
  EXPECT_EQ(model.steps(), 1);
  EXPECT_EQ(codec.pushes(), 0);
}

TEST_F(KeepWarmStep, AModelThatARequestWouldHaveToWaitForIsLeftOut) {
  model.on_step = [](int, auto) -> Status {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));  // more than it may take
    return ok_status();
  };
  for (int i = 0; i < 3; ++i) step([] { return false; });
  EXPECT_EQ(model.steps(), 1);
  EXPECT_GE(codec.pushes(), 1);
}

}  // namespace
}  // namespace lyre
