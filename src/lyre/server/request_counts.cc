#include "lyre/server/request_counts.h"

#include <array>

namespace lyre::server {
namespace {

constexpr std::array kWaitBounds = {0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0};
constexpr std::array kFirstAudioBounds = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                                          0.3,   0.5,  0.75,  1.0,  2.0,   5.0, 10.0};
constexpr std::array kRealTimeBounds = {0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5,
                                        0.6,  0.7,  0.8,  0.9, 1.0, 1.5, 2.0, 5.0};

// Codes are words of ours, but nothing that a client can multiply may grow without a limit.
constexpr size_t kMostCodes = 64;

std::string class_of(int status) { return std::to_string(status / 100) + "xx"; }

}  // namespace

RequestCounts::RequestCounts()
    : queue_wait_s(kWaitBounds),
      first_audio_s(kFirstAudioBounds),
      real_time_factor(kRealTimeBounds) {}

void RequestCounts::add(const AccessRecord& record) {
  if (record.warm_up) return;
  if (record.placed) queue_wait_s.add(record.queue_ms / 1e3);
  if (record.speech && record.first_audio_ms > 0) {
    first_audio_s.add(record.first_audio_ms / 1e3);
    const double spoken_ms = record.duration_ms - record.queue_ms;
    const bool whole = record.finish == "stop" || record.finish == "length";
    if (whole && record.audio_s > 0) real_time_factor.add(spoken_ms / 1e3 / record.audio_s);
  }
  const std::lock_guard lock(mutex_);
  ++totals_.requests[{record.route.empty() ? "none" : record.route, class_of(record.status)}];
  if (record.status >= 400) {
    std::string code = record.error_code.empty() ? "other" : record.error_code;
    if (totals_.errors.size() >= kMostCodes && totals_.errors.count(code) == 0) code = "other";
    ++totals_.errors[code];
  }
  if (record.speech) add_speech_locked(record);
}

void RequestCounts::add_speech(const AccessRecord& record) {
  const std::lock_guard lock(mutex_);
  add_speech_locked(record);
}

void RequestCounts::add_speech_locked(const AccessRecord& record) {
  ++totals_.speeches[record.finish];
  totals_.audio_s += record.audio_s;
  totals_.prompt_tokens += record.prompt_tokens;
  totals_.generated_tokens += record.generated_tokens;
  totals_.frames += record.frames;
  if (record.behind) ++totals_.behind;
}

RequestCounts::Totals RequestCounts::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

}  // namespace lyre::server
