#pragma once

#include <gtest/gtest.h>

#include "lyre/base/cuda/gpus.h"

namespace lyre::test {

/// Asked once a process: the driver takes its time to start.
inline bool has_gpu() {
  static const bool found = !list_gpus().empty();
  return found;
}

/// First line of a test, or of SetUp(): the rest is skipped, visibly, where there is no GPU.
#define LYRE_NEED_GPU() \
  if (!lyre::test::has_gpu()) GTEST_SKIP() << "no GPU"

/// Fixture of tests that all need one.
class GpuTest : public testing::Test {
 protected:
  void SetUp() override { LYRE_NEED_GPU(); }
};

}  // namespace lyre::test
