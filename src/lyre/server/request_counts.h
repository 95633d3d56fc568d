#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "lyre/server/access_record.h"
#include "lyre/server/histogram.h"

namespace lyre::server {

/// What /metrics tells of the requests that were answered, the server's own left out. Any thread.
class RequestCounts {
 public:
  RequestCounts();
  void add(const AccessRecord& record);
  /// A speech of a WebSocket, which is one request however much it speaks. Its times are those of
  /// the text's writer too, so they are in no histogram.
  void add_speech(const AccessRecord& record);

  struct Totals {
    /// By the path of the route ("none": there is no such path) and "2xx" ... "5xx".
    std::map<std::pair<std::string, std::string>, int64_t> requests;
    std::map<std::string, int64_t> errors;    // by code
    std::map<std::string, int64_t> speeches;  // by AccessRecord::finish
    double audio_s = 0;
    int64_t prompt_tokens = 0, generated_tokens = 0, frames = 0;
    int64_t behind = 0;  // streams that fell behind real time
  };
  Totals totals() const;

  std::atomic<int64_t> connections{0}, in_flight{0};
  Histogram queue_wait_s, first_audio_s, real_time_factor;

 private:
  void add_speech_locked(const AccessRecord& record);

  mutable std::mutex mutex_;
  Totals totals_;  // under mutex_
};

}  // namespace lyre::server
