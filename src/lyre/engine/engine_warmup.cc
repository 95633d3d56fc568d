#include "lyre/engine/engine_warmup.h"

#include <exception>
#include <iterator>
#include <utility>

#include "lyre/engine/snac_warmup_log.h"
#include "lyre/engine/warmup_steps.h"

namespace lyre {
namespace {

using Progress = WarmupStep::Progress;

// The step of a frame takes a short prompt in as well, which costs about a token.
constexpr double kFrameShare = static_cast<double>(CodeLayout::kSlots) / (CodeLayout::kSlots + 1);

void append(std::vector<WarmupStep>& to, std::vector<WarmupStep> steps) {
  std::move(steps.begin(), steps.end(), std::back_inserter(to));
}

}  // namespace

EngineWarmup::EngineWarmup(Steps steps, WarmupFaults faults, BetweenRounds between_rounds)
    : steps_(std::move(steps)),
      faults_(std::move(faults)),
      between_rounds_(std::move(between_rounds)) {}

WarmupReport EngineWarmup::run(const WarmupOptions& options) {
  {
    std::unique_lock lock(mutex_);
    if (running_) {
      const int64_t before = runs_ended_;
      ended_.wait(lock, [&] { return runs_ended_ != before; });
      return *last_;
    }
    running_ = true;
  }
  WarmupReport report;
  try {
    report = run_alone(options);
  } catch (const std::exception& failure) {  // memory ran out outside of any step
    report.steps.push_back({.name = "warmup",
                            .lane = WarmupLane::kWhole,
                            .outcome = WarmupStepReport::Outcome::kFailed,
                            .error = failure.what()});
    log_warmup_end(report);
  }
  end_run(report);
  return report;
}

std::optional<WarmupReport> EngineWarmup::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

WarmupReport EngineWarmup::run_alone(const WarmupOptions& options) {
  const bool everything = options.language_model && options.codec;
  Measured measured;
  std::vector<WarmupStep> steps;
  std::string last_codec_step;
  if (options.codec) {
    append(steps, steps_.codec());
    if (!steps.empty()) last_codec_step = steps.back().name;
  }
  if (options.language_model) {
    append(steps, steps_.language_model());
    append(steps, steps_.beside());
  }
  if (everything) steps.push_back(synthesis_step(options.stop, measured));
  append(steps, options.further_steps);
  for (WarmupStep& step : steps) step = faults_.inject(std::move(step));

  SnacWarmupLog snac_log;
  WarmupOptions run_options = options;
  run_options.on_step = [&](const WarmupStepReport& step) {
    snac_log.on_step(step);
    if (step.name == kFrameStep) measured.frame_ms = step.duration_ms * kFrameShare;
    if (step.name == last_codec_step) snac_log.end();
    if (options.on_step) options.on_step(step);
  };
  if (options.codec) snac_log.begin();
  WarmupReport report = run_warmup(std::move(steps), run_options, between_rounds_);
  report.first_request_ms = measured.first_request_ms;
  report.warm = report.warm && everything;
  if (everything) log_warmup_end(report);
  return report;
}

/// Where the model is fast, two requests as real ones: the first may still find something cold, the
/// second measures what users will see. Else a single frame: it goes every way that a request goes,
/// and the frames that a real one waits for are reckoned, not spoken.
WarmupStep EngineWarmup::synthesis_step(const std::stop_token& stop, Measured& measured) const {
  return {.name = "engine.synthesis",
          .lane = WarmupLane::kWhole,
          .run = [this, stop, &measured]() -> Result<Progress> {
            constexpr double kFastMs = 10;
            std::optional<double>& first_ms = measured.first_request_ms;
            if (measured.frame_ms > kFastMs) {
              LYRE_ASSIGN_OR_RETURN(first_ms, steps_.synthesis(1, stop));
              *first_ms += measured.frame_ms * (steps_.first_audio_frames - 1);
              return Progress::kDone;
            }
            const bool again = first_ms.has_value();
            LYRE_ASSIGN_OR_RETURN(first_ms, steps_.synthesis(2 * steps_.first_audio_frames, stop));
            return again ? Progress::kDone : Progress::kMore;
          }};
}

void EngineWarmup::end_run(const WarmupReport& report) {
  const std::lock_guard lock(mutex_);
  last_ = report;
  running_ = false;
  ++runs_ended_;
  ended_.notify_all();
}

}  // namespace lyre
