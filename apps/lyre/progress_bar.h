#pragma once

#include <cstdio>
#include <string>

#include "lyre/base/clock.h"

namespace lyre::command {

/// One line on a terminal that shows how far long speech is. How long it will be is not known
/// before it is spoken; the bar estimates it from the text and never claims to be done.
class ProgressBar {
 public:
  /// Shows nothing unless `stream` is a terminal and the text is long. Null: never.
  ProgressBar(std::FILE* stream, size_t text_bytes);
  ~ProgressBar();  // clears the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(double audio_s);

 private:
  std::FILE* stream_;  // null: silent
  double estimated_s_;
  TimePoint start_ = Clock::now();
  TimePoint shown_{};
};

/// The line that the bar shows, without its control characters.
std::string progress_line(double audio_s, double estimated_s, double elapsed_s);

}  // namespace lyre::command
