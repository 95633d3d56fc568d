#include "lyre/engine/warmup_runner.h"

#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "lyre/base/clock.h"
#include "lyre/base/trace.h"

namespace lyre {
namespace {

using Outcome = WarmupStepReport::Outcome;
using Progress = WarmupStep::Progress;

/// One part of a step; whatever it throws becomes its error.
Result<Progress> run_part(const WarmupStep& step) noexcept {
  const trace::NamedSpan span("warmup", step.name);
  try {
    return step.run();
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kResourceExhausted, "out of memory"};
  } catch (const std::exception& e) {
    return Error{ErrorCode::kInternal, e.what()};
  } catch (...) {
    return Error{ErrorCode::kInternal, "unknown exception"};
  }
}

class Run {
 public:
  Run(const std::vector<WarmupStep>& steps, const WarmupOptions& options,
      const BetweenRounds& between_rounds)
      : steps_(steps), options_(options), between_rounds_(between_rounds) {}

  WarmupReport operator()() {
    report_.steps.reserve(steps_.size());
    {
      std::optional<std::jthread> beside;
      try {
        beside.emplace([this] {
          trace::name_thread("warm-up beside");
          run_lane(WarmupLane::kBeside);
        });
      } catch (const std::system_error&) {
        // No thread to be had: one after the other then.
      }
      run_lane(WarmupLane::kModels);
      if (!beside) run_lane(WarmupLane::kBeside);
    }
    run_lane(WarmupLane::kWhole);
    report_.total_ms = milliseconds_since(begin_);
    report_.warm = all_ran_;
    return std::move(report_);
  }

 private:
  void run_lane(WarmupLane lane) {
    for (const WarmupStep& step : steps_) {
      if (step.lane != lane) continue;
      try {
        run_step(step);
      } catch (const std::exception&) {  // no memory to report it, or on_step threw
        const std::lock_guard lock(mutex_);
        all_ran_ = false;
      }
    }
  }

  void run_step(const WarmupStep& step) {
    const TimePoint start = Clock::now();
    WarmupStepReport done;
    done.name = step.name;
    done.lane = step.lane;
    done.start_ms = milliseconds(start - begin_);
    bool left_out = false;
    if (options_.stop.stop_requested()) {
      left_out = true;
      done.outcome = Outcome::kSkipped;
      done.error = "the warm-up was stopped";
    } else if (const Status status = run_to_end(step); !status) {
      const ErrorCode code = status.error().code;
      const bool skipped = code == ErrorCode::kUnavailable || code == ErrorCode::kCancelled;
      done.outcome = skipped ? Outcome::kSkipped : Outcome::kFailed;
      left_out = !skipped || options_.stop.stop_requested();
      done.error = status.error().message;
    }
    done.duration_ms = milliseconds_since(start);
    const std::lock_guard lock(mutex_);
    if (left_out) all_ran_ = false;
    report_.steps.push_back(std::move(done));
    if (options_.on_step) options_.on_step(report_.steps.back());
  }

  Status run_to_end(const WarmupStep& step) {
    for (;;) {
      Result<Progress> progress = Progress::kDone;
      if (step.lane == WarmupLane::kModels) {
        LYRE_RETURN_IF_ERROR(between_rounds_([&]() -> Status {
          progress = run_part(step);
          if (!progress) return progress.error();
          return ok_status();
        }));
      } else {
        progress = run_part(step);
      }
      if (!progress) return std::move(progress).error();
      if (*progress == Progress::kDone) return ok_status();
      if (options_.stop.stop_requested()) {
        return Error{ErrorCode::kCancelled, "the warm-up was stopped"};
      }
    }
  }

  const std::vector<WarmupStep>& steps_;
  const WarmupOptions& options_;
  const BetweenRounds& between_rounds_;
  const TimePoint begin_ = Clock::now();

  std::mutex mutex_;
  WarmupReport report_;
  bool all_ran_ = true;
};

}  // namespace

WarmupReport run_warmup(std::vector<WarmupStep> steps, const WarmupOptions& options,
                        const BetweenRounds& between_rounds) {
  return Run(steps, options, between_rounds)();
}

}  // namespace lyre
