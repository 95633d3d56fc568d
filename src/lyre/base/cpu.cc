#include "lyre/base/cpu.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lyre {
namespace {

#if defined(__x86_64__)
// 48 bytes of text in the registers of three leaves, padded with spaces or zeros.
std::string cpu_name() {
  constexpr uint32_t kFirstLeaf = 0x80000002, kLeaves = 3;
  std::array<uint32_t, 4 * kLeaves> words{};
  // clang's header returns an int here.
  const auto last_leaf = static_cast<uint32_t>(__get_cpuid_max(0x80000000, nullptr));
  if (last_leaf < kFirstLeaf + kLeaves - 1) return "x86-64";
  for (uint32_t leaf = 0; leaf < kLeaves; ++leaf) {
    uint32_t* registers = words.data() + 4 * leaf;
    __get_cpuid(kFirstLeaf + leaf, registers, registers + 1, registers + 2, registers + 3);
  }
  std::string name(reinterpret_cast<const char*>(words.data()), sizeof(words));
  name.resize(std::min(name.find('\0'), name.size()));
  const size_t begin = name.find_first_not_of(' '), end = name.find_last_not_of(' ');
  return begin == std::string::npos ? "x86-64" : name.substr(begin, end + 1 - begin);
}
#endif

int affinity_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

// cpu.max holds "QUOTA PERIOD" in microseconds, or "max PERIOD".
std::optional<double> quota_of(const std::filesystem::path& group) {
  std::ifstream file(group / "cpu.max");
  double quota_us = 0, period_us = 0;
  if (!(file >> quota_us >> period_us) || quota_us <= 0 || period_us <= 0) return std::nullopt;
  return quota_us / period_us;
}

}  // namespace

std::optional<double> cgroup_cpu_quota(const std::filesystem::path& mount,
                                       std::string_view proc_self_cgroup) {
  // The line of version 2 has the number 0 and no controller.
  constexpr std::string_view kPrefix = "0::/";
  size_t at = proc_self_cgroup.find(kPrefix);
  if (at == std::string_view::npos || (at > 0 && proc_self_cgroup[at - 1] != '\n')) {
    return std::nullopt;
  }
  at += kPrefix.size();
  const std::string_view line = proc_self_cgroup.substr(at);
  const std::filesystem::path groups = line.substr(0, line.find('\n'));

  std::optional<double> least = quota_of(mount);
  std::filesystem::path group = mount;
  for (const auto& part : groups) {
    group /= part;
    const std::optional<double> quota = quota_of(group);
    if (quota && (!least || *quota < *least)) least = quota;
  }
  return least;
}

int usable_cores() {
  const int cores = affinity_cores();
  std::ifstream file("/proc/self/cgroup");
  const std::string groups{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::optional<double> quota = cgroup_cpu_quota("/sys/fs/cgroup", groups);
  if (!quota || *quota >= cores) return cores;
  return std::max(1, static_cast<int>(std::floor(*quota)));
}

CpuInfo cpu_info() {
  CpuInfo info;
  info.usable_cores = usable_cores();
#if defined(__x86_64__)
  info.name = cpu_name();
  __builtin_cpu_init();
  info.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  info.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  info.avx512_vnni = info.avx512 && __builtin_cpu_supports("avx512vnni");
  info.avx512_bf16 = info.avx512 && __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__)
  info.name = "aarch64";
#else
  info.name = "unknown";
#endif
  return info;
}

}  // namespace lyre
