#pragma once

#include <string>

#include "lyre/base/clock.h"

namespace lyre::command {

/// Time zero of timelines: the first call, which is the first thing that the program does. What the
/// system does before, loading the program and its libraries, is not in it: the kernel tells the
/// start of a process in hundredths of a second only.
TimePoint program_start() noexcept;

/// Switches the recorder on, with time zero at program_start(), and records what has passed since.
void start_recording(int events_per_thread);

/// The setting `start_timeline`: records until the server is ready, then prints a chart ("text") or
/// writes a trace file.
class StartTimeline {
 public:
  /// Empty: does nothing. Records anew unless something records already.
  explicit StartTimeline(std::string where);
  ~StartTimeline();
  StartTimeline(const StartTimeline&) = delete;
  StartTimeline& operator=(const StartTimeline&) = delete;

  /// Once. A file that cannot be written is logged, and changes nothing else.
  void ready();

 private:
  void stop() noexcept;

  const std::string where_;
  bool pending_ = false;    // ready() is still to come
  bool recording_ = false;  // for this alone
};

}  // namespace lyre::command
