#include "lyre/warmup_comparison.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <utility>

namespace lyre::command {
namespace {

using Verdict = WarmupGain::Verdict;

Verdict verdict_of(const Spread& cold, const Spread& warm, size_t processes) {
  constexpr size_t kFewest = 3;
  if (processes < kFewest) return Verdict::kTooFew;
  if (warm.most < cold.least) return Verdict::kFaster;
  return warm.median < cold.median ? Verdict::kWithinSpread : Verdict::kNotFaster;
}

WarmupGain gain_of(std::span<const WarmupRun> runs, double WarmupRun::Request::*time) {
  std::vector<double> cold, warm, steady;
  for (const WarmupRun& run : runs) {
    (run.warm ? warm : cold).push_back(run.requests.front().*time);
    std::vector<double> later;
    for (size_t i = 1; i < run.requests.size(); ++i) later.push_back(run.requests[i].*time);
    if (!later.empty()) steady.push_back(spread_of(std::move(later)).median);
  }
  const size_t processes = std::min(cold.size(), warm.size());
  WarmupGain gain;
  gain.cold = spread_of(std::move(cold));
  gain.warm = spread_of(std::move(warm));
  gain.steady = spread_of(std::move(steady));
  gain.saved_ms = gain.cold.median - gain.warm.median;
  gain.saved_percent = 100 * gain.saved_ms / gain.cold.median;
  gain.speed_up = gain.cold.median / gain.warm.median;
  gain.verdict = verdict_of(gain.cold, gain.warm, processes);
  return gain;
}

[[gnu::format(printf, 2, 3)]] void append(std::string& out, const char* format, ...) {
  char line[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  out += line;
}

void append_row(std::string& out, const char* what, const Spread& spread) {
  append(out, "  %-24s %10.2f ms   %8.2f .. %.2f\n", what, spread.median, spread.least,
         spread.most);
}

void append_gain(std::string& out, const char* title, const WarmupGain& gain, int processes) {
  append(out, "\n%s\n", title);
  append_row(out, "cold, first request", gain.cold);
  append_row(out, "warm, first request", gain.warm);
  if (gain.steady.median > 0) append_row(out, "steady, later requests", gain.steady);
  append(out, "  %-24s %10.2f ms, %.1f %%; speed-up %.2f times\n", "improvement", gain.saved_ms,
         gain.saved_percent, gain.speed_up);
  switch (gain.verdict) {
    case Verdict::kTooFew:
      out += "  Too few processes to tell a difference from chance; ask for more --runs.\n";
      break;
    case Verdict::kFaster:
      out += "  Every warm process was faster than every cold one.\n";
      break;
    case Verdict::kWithinSpread:
      append(out,
             "  The ranges overlap: with %d processes of each kind, the difference is within the "
             "spread.\n",
             processes);
      break;
    case Verdict::kNotFaster:
      out += "  Warm was not faster: here the warm-up gained nothing.\n";
      break;
  }
  if (gain.steady.median > 0) {
    append(out, "  The warm first request took %.2f times a later one.\n",
           gain.warm.median / gain.steady.median);
  }
}

std::optional<Spread> spread_of_known(std::span<const WarmupRun> runs,
                                      std::optional<double> WarmupRun::*time) {
  std::vector<double> values;
  for (const WarmupRun& run : runs) {
    if (run.*time) values.push_back(*(run.*time));
  }
  if (values.empty()) return std::nullopt;
  return spread_of(std::move(values));
}

}  // namespace

Result<WarmupComparison> compare_warmup_runs(std::span<const WarmupRun> runs) {
  WarmupComparison comparison;
  comparison.audio_hash = runs.front().audio_hash;
  comparison.audio_s = runs.front().audio_s;
  std::vector<double> load_ms, warmup_ms;
  for (const WarmupRun& run : runs) {
    if (run.audio_hash != comparison.audio_hash) {
      return Error{ErrorCode::kInternal,
                   "the audio differs between processes: " + comparison.audio_hash + " (" +
                       (runs.front().warm ? "warm" : "cold") + "), " + run.audio_hash + " (" +
                       (run.warm ? "warm" : "cold") + ")"};
    }
    load_ms.push_back(run.load_ms);
    if (!run.warm) continue;
    ++comparison.processes;
    warmup_ms.push_back(run.warmup_ms);
    for (const std::string& step : run.failed_steps) {
      auto& all = comparison.failed_steps;
      if (std::find(all.begin(), all.end(), step) == all.end()) all.push_back(step);
    }
  }
  comparison.load_ms = spread_of(std::move(load_ms));
  comparison.warmup_ms = spread_of(std::move(warmup_ms));
  comparison.first_audio = gain_of(runs, &WarmupRun::Request::first_audio_ms);
  comparison.total = gain_of(runs, &WarmupRun::Request::total_ms);
  comparison.codec_first_ms = spread_of_known(runs, &WarmupRun::codec_first_ms);
  comparison.codec_again_ms = spread_of_known(runs, &WarmupRun::codec_again_ms);
  return comparison;
}

std::string comparison_text(const WarmupComparison& comparison) {
  std::string out;
  append(out, "The same request in fresh processes, %d cold and %d warm, %.2f s of audio\n",
         comparison.processes, comparison.processes, comparison.audio_s);
  append(out, "  %-24s %13s   %8s\n", "", "median", "range");
  append_row(out, "load", comparison.load_ms);
  append_row(out, "warm-up", comparison.warmup_ms);
  append_gain(out, "Time to first audio", comparison.first_audio, comparison.processes);
  append_gain(out, "Time to last audio", comparison.total, comparison.processes);
  if (comparison.codec_first_ms && comparison.codec_again_ms) {
    out += "\nCodec first decode, within the warm-up\n";
    append_row(out, "cold", *comparison.codec_first_ms);
    append_row(out, "warm, run again", *comparison.codec_again_ms);
  }
  append(out, "\nThe audio of all requests is equal, bit by bit (%s).\n",
         comparison.audio_hash.c_str());
  for (const std::string& step : comparison.failed_steps) {
    out += "A step of the warm-up did not succeed: " + step + "\n";
  }
  return out;
}

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kTooFew:
      return "too_few";
    case Verdict::kFaster:
      return "faster";
    case Verdict::kWithinSpread:
      return "within_spread";
    case Verdict::kNotFaster:
      return "not_faster";
  }
  return "unknown";
}

}  // namespace lyre::command
