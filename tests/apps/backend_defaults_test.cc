#include "lyre/backend_defaults.h"

#include <gtest/gtest.h>

#include "lyre/engine/chosen_backend.h"

namespace lyre::command {
namespace {

TEST(BackendDefaults, AGpuSpeaksWithMoreAtOnce) {
  Settings settings;
  apply_backend_defaults(settings, BackendChoice::kCuda);
  EXPECT_EQ(settings.engine.backend, BackendChoice::kCuda);
  EXPECT_EQ(settings.engine.max_batch, kGpuMaxBatch);
}

TEST(BackendDefaults, OthersKeepTheirNumber) {
  for (const BackendChoice backend : {BackendChoice::kCpu, BackendChoice::kReference}) {
    Settings settings;
    apply_backend_defaults(settings, backend);
    EXPECT_EQ(settings.engine.backend, backend);
    EXPECT_EQ(settings.engine.max_batch, EngineConfig().max_batch);
  }
}

TEST(BackendDefaults, ANumberThatWasChosenStays) {
  const GivenValues flags = {{"max_batch", {"16", "--max-batch"}}};
  auto settings = resolve_settings(flags, {}, {});
  ASSERT_TRUE(settings.ok());
  apply_backend_defaults(*settings, BackendChoice::kCuda);
  EXPECT_EQ(settings->engine.max_batch, 16);
}

TEST(BackendDefaults, AutoBecomesWhatThereIs) {
  Settings settings;
  settings.engine.backend = BackendChoice::kAuto;
  apply_backend_defaults(settings);
  EXPECT_EQ(settings.engine.backend, chosen_backend(BackendChoice::kAuto));
  EXPECT_NE(settings.engine.backend, BackendChoice::kAuto);
  settings.engine.backend = BackendChoice::kReference;
  apply_backend_defaults(settings);
  EXPECT_EQ(settings.engine.backend, BackendChoice::kReference);
}

}  // namespace
}  // namespace lyre::command
