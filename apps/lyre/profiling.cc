#include "lyre/profiling.h"

#include <cstdio>

#include "lyre/base/trace.h"
#include "lyre/base/trace_profile.h"
#include "lyre/start_timeline.h"

namespace lyre::command {

Profiling::Profiling(bool wanted) : wanted_(wanted) {
  if (wanted_) start_recording(trace::Options().events_per_thread);
}

Profiling::~Profiling() {
  if (!wanted_) return;
  trace::stop();
  std::fputs(trace::profile_table(trace::snapshot()).c_str(), stderr);
}

}  // namespace lyre::command
