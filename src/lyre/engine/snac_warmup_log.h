#pragma once

#include <string>

#include "lyre/base/warmup.h"

namespace lyre {

/// The log lines of the codec's part of a warm-up, word for word those that people's monitoring
/// looks for; the same facts are in the fields.
class SnacWarmupLog {
 public:
  void begin();                                // before the codec's first step
  void on_step(const WarmupStepReport& step);  // any step; those of the codec count
  void end();                                  // after the codec's last step

 private:
  bool begun_ = false;
  double milliseconds_ = 0;  // in the codec's steps
  std::string failed_step_, error_;
  std::string skipped_;  // why a step was left out, if one was
};

/// What is said at the end of a whole warm-up: that all is warm, or what may still be cold.
void log_warmup_end(const WarmupReport& report);

}  // namespace lyre
