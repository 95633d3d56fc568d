#include "lyre/server/access_log.h"

#include <cmath>

#include "lyre/base/log.h"

namespace lyre::server {
namespace {

double to_three_digits(double value) { return std::round(value * 1000) / 1000; }

/// Asked every second by machines, "not yet" among the answers: not worth a line each.
bool is_probe(const AccessRecord& record) {
  return record.path == "/readyz" || record.path == "/healthz" || record.path == "/metrics";
}

LogLevel level_of(const AccessRecord& record) {
  if (record.warm_up || is_probe(record)) return LogLevel::kDebug;
  const bool bad = record.status >= 500 || record.finish == "failed" || record.finish == "length";
  return bad ? LogLevel::kWarning : LogLevel::kInfo;
}

}  // namespace

void log_access(const AccessRecord& record) noexcept {
  const LogLevel level = level_of(record);
  if (record.speech) {
    log(level, "speech",
        {{"id", record.request_id},
         {"client", record.client},
         {"key", record.key_name},
         {"trace", record.trace_id},
         {"agent", record.user_agent},
         {"method", record.method},
         {"path", record.path},
         {"status", record.status},
         {"early", record.early},
         {"queue_ms", to_three_digits(record.queue_ms)},
         {"voice", record.voice},
         {"seed", record.seed},
         {"finish", record.finish},
         {"behind", record.behind},
         {"code", record.error_code},
         {"error", record.error},
         {"audio_s", to_three_digits(record.audio_s)},
         {"first_audio_ms", to_three_digits(record.first_audio_ms)},
         {"duration_ms", to_three_digits(record.duration_ms)},
         {"bytes", record.body_bytes}});
  } else {
    log(level, "request",
        {{"id", record.request_id},
         {"client", record.client},
         {"key", record.key_name},
         {"trace", record.trace_id},
         {"agent", record.user_agent},
         {"method", record.method},
         {"path", record.path},
         {"status", record.status},
         {"code", record.error_code},
         {"error", record.error},
         {"duration_ms", to_three_digits(record.duration_ms)},
         {"bytes", record.body_bytes}});
  }
}

}  // namespace lyre::server
