#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/spread.h"
#include "lyre/warmup_run.h"

namespace lyre::command {

/// One time of a request, milliseconds.
struct WarmupGain {
  Spread cold, warm;  // the first request of a process
  Spread steady;      // the later ones: of each process, warm and cold, its median
  double saved_ms = 0, saved_percent = 0, speed_up = 0;  // of the medians
  enum class Verdict : uint8_t {
    kTooFew,        // processes to know their spread: less than 3 of each kind
    kFaster,        // every warm process was faster than every cold one
    kWithinSpread,  // the medians say faster, but the ranges overlap
    kNotFaster,
  } verdict = Verdict::kTooFew;
};

struct WarmupComparison {
  int processes = 0;  // of each kind
  WarmupGain first_audio, total;
  Spread load_ms, warmup_ms;
  std::optional<Spread> codec_first_ms, codec_again_ms;  // as in WarmupRun
  std::vector<std::string> failed_steps;                 // of any process, each once
  double audio_s = 0;
  std::string audio_hash;
};

/// kInternal if two runs differ in their audio: the warm-up must change nothing that is heard.
/// Precondition: a run of each kind, and a request in each.
Result<WarmupComparison> compare_warmup_runs(std::span<const WarmupRun> runs);

/// For people, with the verdicts in words.
std::string comparison_text(const WarmupComparison& comparison);

/// "too_few", "faster", "within_spread", "not_faster".
const char* verdict_name(WarmupGain::Verdict verdict);

}  // namespace lyre::command
