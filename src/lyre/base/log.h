#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include "lyre/base/api.h"
#include "lyre/base/result.h"

namespace lyre {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError, kOff };
enum class LogFormat : uint8_t {
  kText,  // 2025-03-01T12:00:00.000Z info engine ready voice=demo load_ms=81.5
  kJson,  // one object a line: time, level, message, then the fields
};

struct LogSettings {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
};

/// "debug", "info", "warning" or "warn", "error", "off"; any case.
LYRE_API Result<LogLevel> parse_log_level(std::string_view name);

/// "text" or "json".
LYRE_API Result<LogFormat> parse_log_format(std::string_view name);

/// LOG_LEVEL and LOG_FORMAT of the environment over `defaults`.
LYRE_API Result<LogSettings> log_settings_from_environment(LogSettings defaults = {});

/// For the program, once at its start; before, only warnings and errors are written.
LYRE_API void configure_logging(LogSettings settings) noexcept;

/// One key and value of a log line.
struct LogField {
  using Value = std::variant<std::string_view, int64_t, uint64_t, double, bool>;

  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, bool v) : key(k), value(v) {}
  LogField(std::string_view k, std::floating_point auto v)
      : key(k), value(static_cast<double>(v)) {}
  LogField(std::string_view k, std::signed_integral auto v)
      : key(k), value(static_cast<int64_t>(v)) {}
  LogField(std::string_view k, std::unsigned_integral auto v)
      : key(k), value(static_cast<uint64_t>(v)) {}

  std::string_view key;
  Value value;
};

/// Writes one line to standard error, never to standard output, which may carry audio. Any thread;
/// never throws. Fields live until the call returns.
LYRE_API void log(LogLevel level, std::string_view message,
                  std::initializer_list<LogField> fields = {}) noexcept;

inline void log_debug(std::string_view message,
                      std::initializer_list<LogField> fields = {}) noexcept {
  log(LogLevel::kDebug, message, fields);
}
inline void log_info(std::string_view message,
                     std::initializer_list<LogField> fields = {}) noexcept {
  log(LogLevel::kInfo, message, fields);
}
inline void log_warning(std::string_view message,
                        std::initializer_list<LogField> fields = {}) noexcept {
  log(LogLevel::kWarning, message, fields);
}
inline void log_error(std::string_view message,
                      std::initializer_list<LogField> fields = {}) noexcept {
  log(LogLevel::kError, message, fields);
}

}  // namespace lyre
