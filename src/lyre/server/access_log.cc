#include "lyre/server/access_log.h"

#include <cmath>

#include "lyre/base/log.h"

namespace lyre::server {
namespace {

double to_three_digits(double value) { return std::round(value * 1000) / 1000; }

}  // namespace

void log_access(const AccessRecord& record) noexcept {
  const bool bad = record.status >= 500 || record.finish == "failed" || record.finish == "length";
  const LogLevel level = record.warm_up ? LogLevel::kDebug
                         : bad          ? LogLevel::kWarning
                                        : LogLevel::kInfo;
  if (record.speech) {
    log(level, "speech",
        {{"id", record.request_id},
         {"client", record.client},
         {"method", record.method},
         {"path", record.path},
         {"status", record.status},
         {"voice", record.voice},
         {"seed", record.seed},
         {"finish", record.finish},
         {"error", record.error},
         {"audio_s", to_three_digits(record.audio_s)},
         {"first_audio_ms", to_three_digits(record.first_audio_ms)},
         {"duration_ms", to_three_digits(record.duration_ms)},
         {"bytes", record.body_bytes}});
  } else {
    log(level, "request",
        {{"id", record.request_id},
         {"client", record.client},
         {"method", record.method},
         {"path", record.path},
         {"status", record.status},
         {"error", record.error},
         {"duration_ms", to_three_digits(record.duration_ms)},
         {"bytes", record.body_bytes}});
  }
}

}  // namespace lyre::server
