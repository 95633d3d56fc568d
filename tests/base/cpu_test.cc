#include "lyre/base/cpu.h"

#include <filesystem>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "support/temp_folder.h"

namespace lyre {
namespace {

TEST(CpuInfo, DescribesThisMachine) {
  const CpuInfo info = cpu_info();
  EXPECT_FALSE(info.name.empty());
  EXPECT_GE(info.usable_cores, 1);
  EXPECT_LE(info.usable_cores, static_cast<int>(std::thread::hardware_concurrency()));
  if (info.avx512) {
    EXPECT_TRUE(info.avx2);
  }
}

class CgroupCpuQuota : public testing::Test {
 protected:
  void limit(const std::string& group, std::string_view cpu_max) {
    std::filesystem::create_directories(folder_.path() / group);
    folder_.write(group + "/cpu.max", cpu_max);
  }
  std::optional<double> quota(std::string_view proc_self_cgroup) {
    return cgroup_cpu_quota(folder_.path(), proc_self_cgroup);
  }

  test::TempFolder folder_;
};

TEST_F(CgroupCpuQuota, IsTheLeastOfEveryLevel) {
  limit("a", "250000 100000\n");
  limit("a/b", "max 100000\n");
  limit("a/b/c", "400000 100000\n");
  EXPECT_EQ(quota("0::/a/b/c\n"), 2.5);
  EXPECT_EQ(quota("0::/a\n"), 2.5);
  EXPECT_EQ(quota("4:memory:/x\n0::/a/b\n"), 2.5);
  limit(".", "50000 100000\n");  // in a container: the root of the namespace has the limit
  EXPECT_EQ(quota("0::/\n"), 0.5);
  EXPECT_EQ(quota("0::/a/b/c\n"), 0.5);
}

TEST_F(CgroupCpuQuota, NoneWithoutALimit) {
  limit("a", "max 100000\n");
  EXPECT_EQ(quota("0::/a\n"), std::nullopt);
  EXPECT_EQ(quota("0::/absent\n"), std::nullopt);
  EXPECT_EQ(quota("1:cpu:/a\n"), std::nullopt);
  EXPECT_EQ(quota("10::/a\n"), std::nullopt);
  EXPECT_EQ(quota(""), std::nullopt);
  limit("b", "what\n");
  EXPECT_EQ(quota("0::/b\n"), std::nullopt);
}

}  // namespace
}  // namespace lyre
