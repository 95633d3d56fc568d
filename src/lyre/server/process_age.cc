#include "lyre/server/process_age.h"

#include <time.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "lyre/base/clock.h"

namespace lyre::server {
namespace {

double milliseconds_since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

/// Field 22 of /proc/self/stat, in ticks since boot; the second field, the name, may hold spaces
/// and ends with the last parenthesis.
TimePoint process_start() {
  const TimePoint now = Clock::now();
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');
  const auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  if (name_end == text.npos || ticks_per_second <= 0) return now;
  std::istringstream rest(text.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) rest >> skipped;
  double ticks = 0;
  if (!(rest >> ticks)) return now;
  const double age_ms = milliseconds_since_boot() - ticks * 1e3 / ticks_per_second;
  return now - std::chrono::duration_cast<Clock::duration>(
                   std::chrono::duration<double, std::milli>(age_ms));
}

}  // namespace

double process_age_ms() {
  static const TimePoint start = process_start();
  return milliseconds_since(start);
}

}  // namespace lyre::server
