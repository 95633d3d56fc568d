#include "lyre/base/memory.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/temp_folder.h"

namespace lyre {
namespace {

TEST(Memory, PeakSeesATouchedBlock) {
  const int64_t before = peak_resident_bytes();
  EXPECT_GT(before, 0);
  const int64_t now = resident_bytes();
  EXPECT_GT(now, 0);
  {
    const std::vector<char> block(64 << 20, 'x');  // written, so resident
    EXPECT_GE(resident_bytes(), now + (60 << 20));
    EXPECT_EQ(block.back(), 'x');
  }
  EXPECT_GE(peak_resident_bytes(), now + (60 << 20));
}

class AvailableMemory : public testing::Test {
 protected:
  void group(const std::string& path, std::string_view limit, std::string_view usage,
             std::string_view stat = "") {
    const std::filesystem::path folder = "cgroup/" + path;
    std::filesystem::create_directories(folder_.path() / folder);
    folder_.write((folder / "memory.max").string(), limit);
    folder_.write((folder / "memory.current").string(), usage);
    folder_.write((folder / "memory.stat").string(), stat);
  }
  void old_group(const std::string& path, std::string_view limit, std::string_view usage,
                 std::string_view stat = "") {
    const std::filesystem::path folder = "cgroup/memory/" + path;
    std::filesystem::create_directories(folder_.path() / folder);
    folder_.write((folder / "memory.limit_in_bytes").string(), limit);
    folder_.write((folder / "memory.usage_in_bytes").string(), usage);
    folder_.write((folder / "memory.stat").string(), stat);
  }
  void meminfo(std::string_view text) { folder_.write("meminfo", text); }
  std::optional<int64_t> available(std::string_view proc_self_cgroup) {
    return available_memory_bytes(folder_.path() / "meminfo", folder_.path() / "cgroup",
                                  proc_self_cgroup);
  }

  test::TempFolder folder_;
};

TEST_F(AvailableMemory, IsWhatTheSystemSaysWithoutLimits) {
  meminfo("MemTotal:       16384 kB\nMemFree:  100 kB\nMemAvailable:   8192 kB\n");
  group("a", "max\n", "5000\n");
  EXPECT_EQ(available("0::/a\n"), 8192 * 1024);
  EXPECT_EQ(available("0::/\n"), 8192 * 1024);
  EXPECT_EQ(available("0::/absent\n"), 8192 * 1024);
  EXPECT_EQ(available(""), 8192 * 1024);
  EXPECT_EQ(available("what\n:\n::\n0:\n"), 8192 * 1024);
}

TEST_F(AvailableMemory, IsTheLeastThatAGroupLeaves) {
  meminfo("MemAvailable:   8192 kB\n");
  group("a", "1000000\n", "400000\n");
  group("a/b", "max\n", "300000\n");
  group("a/b/c", "500000\n", "100000\n");
  EXPECT_EQ(available("0::/a/b/c\n"), 400'000);
  EXPECT_EQ(available("0::/a/b\n"), 600'000);
  group(".", "20000\n", "5000\n");  // in a container: the root of the namespace has the limit
  EXPECT_EQ(available("0::/\n"), 15'000);
  EXPECT_EQ(available("0::/a/b/c\n"), 15'000);
}

TEST_F(AvailableMemory, FilesThatNobodyReadsCountAsFree) {
  meminfo("MemAvailable:   8192 kB\n");
  group("a", "1000000\n", "990000\n",
        "anon 90000\nfile 900000\nactive_file 300000\ninactive_file 600000\n");
  EXPECT_EQ(available("0::/a\n"), 610'000);
  group("over", "1000\n", "5000\n");
  EXPECT_EQ(available("0::/over\n"), 0);
  group("odd", "1000\n", "500\n", "inactive_file 700\n");
  EXPECT_EQ(available("0::/odd\n"), 1000);
}

TEST_F(AvailableMemory, KnowsTheFirstVersionOfCgroups) {
  meminfo("MemAvailable:   8192 kB\n");
  old_group(".", "9223372036854771712\n", "123456789\n");
  old_group("a", "1000000\n", "900000\n", "inactive_file 1\ntotal_inactive_file 50000\n");
  EXPECT_EQ(available("9:name=systemd:/\n4:cpu,memory:/a\n0::/\n"), 150'000);
  EXPECT_EQ(available("4:memory:/a/absent\n"), 150'000);
  EXPECT_EQ(available("4:memory:/\n"), 8192 * 1024);
  EXPECT_EQ(available("4:memoryless:/a\n"), 8192 * 1024);
}

TEST_F(AvailableMemory, NothingIfNobodySays) {
  EXPECT_EQ(available("0::/a\n"), std::nullopt);
  meminfo("MemTotal:       16384 kB\n");
  EXPECT_EQ(available("0::/a\n"), std::nullopt);
  group("a", "1000\n", "what\n");
  EXPECT_EQ(available("0::/a\n"), std::nullopt);
}

TEST(AvailableMemoryOfThisProcess, IsLessThanTheMachineHas) {
  const std::optional<int64_t> bytes = available_memory_bytes();
  ASSERT_TRUE(bytes.has_value());
  EXPECT_GT(*bytes, 0);
  EXPECT_LT(*bytes, int64_t{1} << 50);
}

}  // namespace
}  // namespace lyre
