#include "lyre/base/warmup.h"

#include <algorithm>

namespace lyre {

const char* warmup_outcome_name(WarmupStepReport::Outcome outcome) noexcept {
  switch (outcome) {
    case WarmupStepReport::Outcome::kOk:
      return "ok";
    case WarmupStepReport::Outcome::kFailed:
      return "failed";
    case WarmupStepReport::Outcome::kSkipped:
      return "skipped";
  }
  return "unknown";
}

const WarmupStepReport* WarmupReport::find(std::string_view name) const noexcept {
  const auto found =
      std::find_if(steps.begin(), steps.end(), [&](const auto& step) { return step.name == name; });
  return found == steps.end() ? nullptr : &*found;
}

}  // namespace lyre
