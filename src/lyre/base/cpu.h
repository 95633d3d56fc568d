#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace lyre {

/// The processor that this process runs on, for reports. Features are on only if the operating
/// system saves their registers too.
struct CpuInfo {
  std::string name;  // "AMD EPYC 9R14 ..."; the architecture where the CPU has no name
  int usable_cores = 1;
  bool avx2 = false;    // with FMA, as every kernel wants them together
  bool avx512 = false;  // F, BW, DQ and VL
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
};

CpuInfo cpu_info();

/// Cores that this process may keep busy: its affinity mask, cut by the CPU quota of its cgroup
/// (version 2), because a container of two cores on a large machine sees all of them. At least 1.
int usable_cores();

/// CPU quota in cores along the cgroup path of `proc_self_cgroup` (contents of /proc/self/cgroup)
/// below `mount` (/sys/fs/cgroup): the least of every level. Nothing if there is no quota.
std::optional<double> cgroup_cpu_quota(const std::filesystem::path& mount,
                                       std::string_view proc_self_cgroup);

}  // namespace lyre
