#include "lyre/base/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

namespace lyre {

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

}  // namespace lyre
