#include "lyre/engine/snac_warmup_log.h"

#include <cstdio>

#include "lyre/base/log.h"

namespace lyre {
namespace {

std::string two_digits(double milliseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", milliseconds);
  return text;
}

bool is_codec_step(const WarmupStepReport& step) { return step.name.starts_with("codec."); }

std::string names_of(const WarmupReport& report, WarmupStepReport::Outcome outcome) {
  std::string names;
  for (const WarmupStepReport& step : report.steps) {
    if (step.outcome == outcome) names += (names.empty() ? "" : ",") + step.name;
  }
  return names;
}

}  // namespace

void SnacWarmupLog::begin() {
  begun_ = true;
  log_info("🔥 Starting SNAC model warmup...", {{"event", "snac_warmup_started"}});
}

void SnacWarmupLog::on_step(const WarmupStepReport& step) {
  if (!begun_ || !is_codec_step(step)) return;
  milliseconds_ += step.duration_ms;
  if (step.outcome == WarmupStepReport::Outcome::kFailed && failed_step_.empty()) {
    failed_step_ = step.name;
    error_ = step.error;
  }
  if (step.outcome == WarmupStepReport::Outcome::kSkipped) skipped_ = step.error;
}

void SnacWarmupLog::end() {
  if (!begun_) return;
  begun_ = false;
  const std::string time = two_digits(milliseconds_) + "ms";
  if (failed_step_.empty() && !skipped_.empty()) {
    log_info(
        "SNAC model warmup was left out, or a part of it: " + skipped_,
        {{"event", "snac_warmup_skipped"}, {"duration_ms", milliseconds_}, {"reason", skipped_}});
    return;
  }
  if (failed_step_.empty()) {
    log_info("✅ SNAC model warmup completed in " + time,
             {{"event", "snac_warmup_completed"}, {"duration_ms", milliseconds_}});
    return;
  }
  log_warning("⚠️  SNAC warmup failed after " + time + ": " + error_,
              {{"event", "snac_warmup_failed"},
               {"duration_ms", milliseconds_},
               {"step", failed_step_},
               {"error", error_}});
  log_warning("Model will still work but first inference will be slower",
              {{"event", "snac_warmup_failed_hint"}});
}

void log_warmup_end(const WarmupReport& report) {
  for (const WarmupStepReport& step : report.steps) {
    log_debug("warm-up step", {{"step", step.name},
                               {"outcome", warmup_outcome_name(step.outcome)},
                               {"start_ms", step.start_ms},
                               {"duration_ms", step.duration_ms},
                               {"error", step.error}});
  }
  if (report.warm) {
    log_info("🚀 Models are now ready for optimal performance!",
             {{"event", "warmup_completed"},
              {"duration_ms", report.total_ms},
              {"steps", report.steps.size()},
              {"first_request_ms", report.first_request_ms.value_or(0)}});
    return;
  }
  log_warning("the warm-up left something cold: first requests may be slower",
              {{"event", "warmup_incomplete"},
               {"duration_ms", report.total_ms},
               {"failed", names_of(report, WarmupStepReport::Outcome::kFailed)},
               {"skipped", names_of(report, WarmupStepReport::Outcome::kSkipped)}});
}

}  // namespace lyre
