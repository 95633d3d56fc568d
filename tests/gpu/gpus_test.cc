#include <gtest/gtest.h>

#include "gpu/need_gpu.h"
#include "lyre/base/cuda/gpus.h"

namespace lyre::test {
namespace {

TEST(Gpus, AreWhatTheDriverNames) {
  LYRE_NEED_GPU();
  for (const Gpu& gpu : list_gpus()) {
    EXPECT_FALSE(gpu.name.empty());
    EXPECT_GE(gpu.capability_major, 8);
    EXPECT_GT(gpu.multiprocessors, 0);
    EXPECT_GT(gpu.free_bytes, 0);
    EXPECT_LE(gpu.free_bytes, gpu.memory_bytes);
  }
}

// Every GPU that this build has machine code for reads its memory faster than it is sent to it. No
// figure is asserted: the measurement itself must come back with plausible signs.
TEST(Gpus, BandwidthIsMeasured) {
  LYRE_NEED_GPU();
  auto bandwidth = measure_gpu_bandwidth(0);
  ASSERT_TRUE(bandwidth.ok()) << bandwidth.error().message;
  EXPECT_GT(bandwidth->read_bytes_per_second, 0);
  EXPECT_GT(bandwidth->copy_bytes_per_second, 0);
  EXPECT_GT(bandwidth->upload_bytes_per_second, 0);
}

TEST(Gpus, AnIndexBehindTheLastIsNotFound) {
  LYRE_NEED_GPU();
  EXPECT_EQ(measure_gpu_bandwidth(1000).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace lyre::test
