#include "lyre/start_timeline.h"

#include <cstdio>
#include <utility>

#include "lyre/base/log.h"
#include "lyre/base/trace.h"
#include "lyre/base/trace_chart.h"
#include "lyre/base/trace_event_json.h"
#include "lyre/text_output.h"

namespace lyre::command {
namespace {

constinit trace::Operation kSettings("start.settings");

// The steps of the warm-up are a hundred thousand spans, and the first of them are wanted too.
constexpr int kEventsPerThread = 1 << 17;

}  // namespace

TimePoint program_start() noexcept {
  static const TimePoint start = Clock::now();
  return start;
}

void start_recording(int events_per_thread) {
  trace::start({.events_per_thread = events_per_thread, .origin = program_start()});
  trace::record_since(kSettings, program_start());
}

StartTimeline::StartTimeline(std::string where)
    : where_(std::move(where)), pending_(!where_.empty()) {
  if (!pending_ || trace::enabled()) return;
  recording_ = true;
  start_recording(kEventsPerThread);
}

StartTimeline::~StartTimeline() { stop(); }

void StartTimeline::ready() {
  if (!pending_) return;
  pending_ = false;
  const trace::Snapshot snapshot = trace::snapshot();
  stop();
  if (where_ == "text") {
    std::fputs(trace::chart(snapshot, "from the start of the program to ready").c_str(), stderr);
    return;
  }
  const Status written = write_text(where_, trace::trace_event_json(snapshot));
  if (!written) log_warning("the start timeline is lost", {{"error", written.error().message}});
}

void StartTimeline::stop() noexcept {
  if (recording_) trace::stop();
  recording_ = false;
}

}  // namespace lyre::command
