#pragma once

#include <functional>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/warmup.h"

namespace lyre {

/// Runs something on the engine thread between two rounds and waits for it.
using BetweenRounds = std::function<Status(const std::function<Status()>&)>;

/// Runs the steps: those of lane kModels and kBeside side by side, then kWhole, each lane in the
/// order of the list. Every step is timed and fails alone, by an error or an exception. A step that
/// answers kUnavailable (there is no room for it beside what runs, or it can never come to pass) or
/// kCancelled was skipped, as are those that options.stop finds not begun; only the latter leave
/// something cold.
///
/// report.first_request_ms is the caller's to fill. Blocks; one call at a time.
WarmupReport run_warmup(std::vector<WarmupStep> steps, const WarmupOptions& options,
                        const BetweenRounds& between_rounds);

}  // namespace lyre
