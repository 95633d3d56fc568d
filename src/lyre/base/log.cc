#include "lyre/base/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <utility>

#include "lyre/base/json_string.h"
#include "lyre/base/quote.h"

namespace lyre {
namespace {

constexpr std::array<std::pair<std::string_view, LogLevel>, 6> kLevels{{
    {"debug", LogLevel::kDebug},
    {"info", LogLevel::kInfo},
    {"warning", LogLevel::kWarning},
    {"warn", LogLevel::kWarning},
    {"error", LogLevel::kError},
    {"off", LogLevel::kOff},
}};

std::string lower(std::string_view name) {
  std::string text(name);
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

// The time and the level are spdlog's; what follows is ours, because it knows no fields.
std::unique_ptr<spdlog::formatter> formatter_of(LogFormat format) {
  const char* pattern = format == LogFormat::kJson
                            ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                            : "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
  return std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc);
}

class Log {
 public:
  static Log& instance() {
    static Log log;
    return log;
  }

  void configure(LogSettings settings) {
    format_.store(settings.format, std::memory_order_relaxed);
    logger_.set_formatter(formatter_of(settings.format));
    logger_.set_level(to_spdlog(settings.level));
  }

  void write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
    const spdlog::level::level_enum spdlog_level = to_spdlog(level);
    if (level == LogLevel::kOff || !logger_.should_log(spdlog_level)) return;
    const std::string body = format_.load(std::memory_order_relaxed) == LogFormat::kJson
                                 ? json_body(message, fields)
                                 : text_body(message, fields);
    logger_.log(spdlog_level, spdlog::string_view_t(body.data(), body.size()));
  }

 private:
  Log() : logger_("lyre", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_formatter(formatter_of(LogFormat::kText));
    logger_.set_level(spdlog::level::warn);
  }

  // Shortest text that reads back as the same value.
  static void append_number(std::string& out, auto value) {
    std::array<char, 32> buffer;
    const auto [end, ec] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    out.append(buffer.data(), end);
  }

  static std::string json_body(std::string_view message, std::initializer_list<LogField> fields) {
    std::string out = R"("message":)";
    append_json_string(out, message);
    for (const LogField& field : fields) {
      out += ',';
      append_json_string(out, field.key);
      out += ':';
      if (const auto* text = std::get_if<std::string_view>(&field.value)) {
        append_json_string(out, *text);
      } else if (const auto* real = std::get_if<double>(&field.value);
                 real != nullptr && !std::isfinite(*real)) {
        out += "null";  // JSON has no word for it
      } else {
        append_scalar(out, field.value);
      }
    }
    return out;
  }

  // A value that a reader could take for two words, or that is not plain text, is quoted.
  static std::string text_body(std::string_view message, std::initializer_list<LogField> fields) {
    std::string out(message);
    for (const LogField& field : fields) {
      out += ' ';
      out += field.key;
      out += '=';
      const auto* text = std::get_if<std::string_view>(&field.value);
      if (text == nullptr) {
        append_scalar(out, field.value);
        continue;
      }
      const bool plain = !text->empty() && std::all_of(text->begin(), text->end(), [](char c) {
        return c > ' ' && c < 0x7F && c != '=' && c != '\'';
      });
      out += plain ? std::string(*text) : quote(*text, 1000);
    }
    return out;
  }

  static void append_scalar(std::string& out, const LogField::Value& value) {
    if (const auto* truth = std::get_if<bool>(&value)) {
      out += *truth ? "true" : "false";
    } else if (const auto* integer = std::get_if<int64_t>(&value)) {
      append_number(out, *integer);
    } else if (const auto* natural = std::get_if<uint64_t>(&value)) {
      append_number(out, *natural);
    } else {
      append_number(out, std::get<double>(value));
    }
  }

  spdlog::logger logger_;
  std::atomic<LogFormat> format_{LogFormat::kText};
};

}  // namespace

Result<LogLevel> parse_log_level(std::string_view name) {
  const std::string wanted = lower(name);
  for (const auto& [known, level] : kLevels) {
    if (known == wanted) return level;
  }
  return Error{ErrorCode::kInvalidArgument,
               "log level: expected debug, info, warning, error or off, found " + quote(name)};
}

Result<LogFormat> parse_log_format(std::string_view name) {
  const std::string wanted = lower(name);
  if (wanted == "text") return LogFormat::kText;
  if (wanted == "json") return LogFormat::kJson;
  return Error{ErrorCode::kInvalidArgument,
               "log format: expected text or json, found " + quote(name)};
}

Result<LogSettings> log_settings_from_environment(LogSettings defaults) {
  LogSettings settings = defaults;
  if (const char* level = std::getenv("LOG_LEVEL"); level != nullptr && *level != '\0') {
    LYRE_ASSIGN_OR_RETURN(settings.level, parse_log_level(level));
  }
  if (const char* format = std::getenv("LOG_FORMAT"); format != nullptr && *format != '\0') {
    LYRE_ASSIGN_OR_RETURN(settings.format, parse_log_format(format));
  }
  return settings;
}

void configure_logging(LogSettings settings) noexcept { Log::instance().configure(settings); }

void log(LogLevel level, std::string_view message,
         std::initializer_list<LogField> fields) noexcept {
  Log::instance().write(level, message, fields);
}

}  // namespace lyre
