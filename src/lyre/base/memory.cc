#include "lyre/base/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

namespace lyre {
namespace {

namespace fs = std::filesystem;

// Names of a cgroup's files.
struct CgroupFiles {
  const char *limit, *usage, *idle_files;  // the last: key in memory.stat
};
constexpr CgroupFiles kVersion2 = {"memory.max", "memory.current", "inactive_file"};
constexpr CgroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                   "total_inactive_file"};

std::optional<int64_t> read_number(const fs::path& file) {
  std::ifstream stream(file);
  int64_t value = 0;
  if (!(stream >> value) || value < 0) return std::nullopt;  // "max": no limit
  return value;
}

// "key value" or "key: value kB" lines.
std::optional<int64_t> read_key(const fs::path& file, std::string_view key) {
  std::ifstream stream(file);
  std::string name, rest;
  int64_t value = 0;
  while (stream >> name >> value) {
    std::getline(stream, rest);
    if (name == key) return value;
  }
  return std::nullopt;
}

void take_least(std::optional<int64_t>& least, std::optional<int64_t> value) {
  if (value && (!least || *value < *least)) least = value;
}

std::optional<int64_t> left_in_group(const fs::path& group, const CgroupFiles& files) {
  const std::optional<int64_t> limit = read_number(group / files.limit);
  const std::optional<int64_t> usage = read_number(group / files.usage);
  if (!limit || !usage) return std::nullopt;
  const int64_t idle = read_key(group / "memory.stat", files.idle_files).value_or(0);
  return std::max<int64_t>(0, *limit - std::max<int64_t>(0, *usage - idle));
}

// The path of a line "number:controllers:/path", where `is_wanted` says of which controllers.
template <class IsWanted>
std::optional<std::string> group_path(std::string_view lines, IsWanted is_wanted) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? line.npos : line.find(":/", first + 1);
    if (second == line.npos) continue;
    if (is_wanted(line.substr(0, first), line.substr(first + 1, second - first - 1))) {
      return std::string(line.substr(second + 2));
    }
  }
  return std::nullopt;
}

// The limits of every level count; in a container the mount itself is the innermost one.
std::optional<int64_t> left_on_path(const fs::path& mount, const std::string& path,
                                    const CgroupFiles& files) {
  std::optional<int64_t> least = left_in_group(mount, files);
  fs::path group = mount;
  for (const auto& part : fs::path(path)) {
    group /= part;
    take_least(least, left_in_group(group, files));
  }
  return least;
}

bool names_memory(std::string_view controllers) {
  return (',' + std::string(controllers) + ',').find(",memory,") != std::string::npos;
}

}  // namespace

int64_t peak_resident_bytes() noexcept {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return int64_t{usage.ru_maxrss} * 1024;  // Linux counts in KiB
}

int64_t resident_bytes() noexcept {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  long total_pages = 0, resident_pages = 0;
  const int read = std::fscanf(file, "%ld %ld", &total_pages, &resident_pages);
  std::fclose(file);
  return read == 2 ? int64_t{resident_pages} * sysconf(_SC_PAGESIZE) : 0;
}

std::optional<int64_t> available_memory_bytes(const fs::path& meminfo, const fs::path& mount,
                                              std::string_view proc_self_cgroup) {
  std::optional<int64_t> least = read_key(meminfo, "MemAvailable:");
  if (least) *least *= 1024;
  const auto unified = group_path(
      proc_self_cgroup, [](std::string_view number, std::string_view) { return number == "0"; });
  if (unified) take_least(least, left_on_path(mount, *unified, kVersion2));
  const auto memory = group_path(
      proc_self_cgroup,
      [](std::string_view, std::string_view controllers) { return names_memory(controllers); });
  if (memory) take_least(least, left_on_path(mount / "memory", *memory, kVersion1));
  return least;
}

std::optional<int64_t> available_memory_bytes() {
  std::ifstream file("/proc/self/cgroup");
  const std::string groups{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return available_memory_bytes("/proc/meminfo", "/sys/fs/cgroup", groups);
}

}  // namespace lyre
