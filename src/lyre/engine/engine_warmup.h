#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/warmup.h"
#include "lyre/engine/warmup_faults.h"
#include "lyre/engine/warmup_runner.h"

namespace lyre {

/// The warm-up of one engine: which steps there are, one run at a time, its log lines and the last
/// report. Any thread.
class EngineWarmup {
 public:
  /// The engine's steps. Called for each run, so that the lists may depend on the present.
  struct Steps {
    std::function<std::vector<WarmupStep>()> language_model;
    std::function<std::vector<WarmupStep>()> codec;
    std::function<std::vector<WarmupStep>()> beside;  // text, channels
    /// A whole request of one sentence, cut after so many frames; milliseconds to its first audio.
    std::function<Result<double>(int frames, const std::stop_token& stop)> synthesis;
    /// Frames that a request waits for until its first audio.
    int first_audio_frames = 1;
  };

  EngineWarmup(Steps steps, WarmupFaults faults, BetweenRounds between_rounds);

  /// Runs, or waits for the run under way and returns its report.
  WarmupReport run(const WarmupOptions& options);
  std::optional<WarmupReport> last() const;

 private:
  WarmupReport run_alone(const WarmupOptions& options);
  struct Measured {
    double frame_ms = 0;  // of the language model, one stream
    std::optional<double> first_request_ms;
  };
  WarmupStep synthesis_step(const std::stop_token& stop, Measured& measured) const;
  void end_run(const WarmupReport& report);

  const Steps steps_;
  const WarmupFaults faults_;
  const BetweenRounds between_rounds_;

  mutable std::mutex mutex_;
  std::condition_variable ended_;
  bool running_ = false;
  int64_t runs_ended_ = 0;
  std::optional<WarmupReport> last_;
};

}  // namespace lyre
