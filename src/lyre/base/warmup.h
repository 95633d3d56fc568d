#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/api.h"
#include "lyre/base/result.h"

namespace lyre {

/// Where a step of the warm-up runs. The first two run side by side, kWhole when both are done.
enum class WarmupLane : uint8_t {
  kModels,  // on the engine thread, between two rounds of running requests
  kBeside,  // on a thread of its own: text, encoders
  kWhole,   // on a thread of its own: whole requests through everything that is warm by then
};

/// Something that a first request would otherwise pay for. It may be run again at any time and then
/// costs what a request pays for it.
struct WarmupStep {
  enum class Progress : uint8_t { kDone, kMore };

  std::string name;  // "lm.prefill.64": a part of lyre, what is done, and its size
  WarmupLane lane = WarmupLane::kModels;
  /// Does all or a part of it; kMore: call again, something else may run in between. An exception
  /// fails the step only.
  std::function<Result<Progress>()> run;
};

struct WarmupStepReport {
  enum class Outcome : uint8_t { kOk, kFailed, kSkipped };

  std::string name;
  WarmupLane lane = WarmupLane::kModels;
  Outcome outcome = Outcome::kOk;
  double start_ms = 0;  // since the warm-up began
  double duration_ms = 0;
  std::string error;  // why it failed or was left out; else empty
};

/// "ok", "failed", "skipped".
LYRE_API const char* warmup_outcome_name(WarmupStepReport::Outcome outcome) noexcept;

/// What a warm-up did.
struct WarmupReport {
  std::vector<WarmupStepReport> steps;  // in the order in which they ended
  double total_ms = 0;
  /// First audio of a request of one sentence, measured by the last step that spoke one.
  std::optional<double> first_request_ms;
  /// The whole list was gone through, no step failed and none was left out by a stop: the next
  /// request finds nothing cold. A step that was skipped because requests hold what it needs counts
  /// as warm, for they keep it so.
  bool warm = false;

  LYRE_API const WarmupStepReport* find(std::string_view name) const noexcept;
};

struct WarmupOptions {
  bool language_model = true, codec = true;  // only one of them: the report is never warm
  std::vector<WarmupStep> further_steps;  // of the caller, after the engine's own of the same lane
  /// Called when a step has ended, from any of the lanes, one call at a time. If it throws the
  /// report is not warm.
  std::function<void(const WarmupStepReport&)> on_step;
  std::stop_token stop;  // what has not begun yet is skipped
};

}  // namespace lyre
