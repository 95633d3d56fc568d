#include "lyre/server/speech_response.h"

#include <cstdio>
#include <utility>

#include "lyre/server/voice_aliases.h"

namespace lyre::server {
namespace {

std::optional<float> as_float(std::optional<double> value) {
  if (!value) return std::nullopt;
  return static_cast<float>(*value);
}

ApiError too_long(const std::string& field, size_t bytes, int most_bytes) {
  return {400,
          "'" + field + "' is " + std::to_string(bytes) + " bytes long; the limit is " +
              std::to_string(most_bytes) + ".",
          field, "string_above_max_length"};
}

std::optional<ApiError> check_texts(const SpeechOrder& order, const ServiceInfo& info) {
  const std::string& text = order.request.text;
  const std::string field = order.text_field;
  const auto most_bytes = static_cast<size_t>(info.max_text_bytes);
  if (text.find_first_not_of(" \t\r\n\v\f") == std::string::npos) {
    return ApiError{400, "'" + field + "' is empty: there is nothing to speak.", field,
                    "empty_input"};
  }
  if (text.size() > most_bytes) return too_long(field, text.size(), info.max_text_bytes);
  const std::string& description = order.request.description;
  if (description.size() > most_bytes) {
    return too_long("instructions", description.size(), info.max_text_bytes);
  }
  return std::nullopt;
}

/// What went wrong at the opening of an encoder is mostly what was asked of it.
ApiError format_error(const Error& error, const char* field) {
  if (error.code != ErrorCode::kInvalidArgument) return api_error(error);
  return {400, "'" + std::string(field) + "': " + error.message + ".", field, "unsupported_format"};
}

}  // namespace

void read_speech_settings(JsonFields& fields, SpeechRequest& request) {
  request.sampling.seed = fields.unsigned_integer("seed");
  request.sampling.temperature = as_float(fields.number("temperature"));
  request.sampling.top_p = as_float(fields.number("top_p"));
  request.sampling.top_k = fields.integer("top_k");
  request.sampling.min_p = as_float(fields.number("min_p"));
  request.sampling.repetition_penalty = as_float(fields.number("repetition_penalty"));
  request.sampling.legal_slots = fields.boolean("legal_slots");
  request.max_tokens = fields.integer("max_tokens");
  request.fast_start = fields.boolean("fast_start");
}

double checked_speed(JsonFields& fields, std::optional<double> speed, const char* field,
                     double least, double most) {
  if (!speed || (*speed >= least && *speed <= most)) return speed.value_or(1.0);
  char message[160];
  std::snprintf(message, sizeof message, "'%s' must be %g to %g; found %g.", field, least, most,
                *speed);
  fields.fail({400, message, field, "invalid_value"});
  return 1.0;
}

HttpResponse speech_response(const HttpRequest& http, const JsonFields& fields,
                             const ServerState& state, SpeechOrder order) {
  if (fields.error() != nullptr) return order.error(*fields.error());
  const auto service = state.service();
  if (!service) return order.error(not_ready_error());
  const ServiceInfo& info = service->info;
  if (const auto error = check_texts(order, info)) return order.error(*error);
  Result<std::string> voice = resolve_voice(order.request.voice, *state.voice_aliases(), info);
  if (!voice) return order.error({400, voice.error().message, "voice", "unknown_voice"});
  Result<AudioEncoder> encoder = AudioEncoder::open(order.format, info.sample_rate_hz, order.speed);
  if (!encoder) return order.error(format_error(encoder.error(), order.format_field));
  order.request.voice = *std::move(voice);
  order.request.warm_up = http.warm_up;
  Result<SpokenAudio> spoken = service->speak(std::move(order.request));
  if (!spoken) return order.error(api_error(spoken.error()));
  HttpResponse response;
  response.content_type = *order.content_type == '\0' ? content_type(order.format.encoding)
                                                      : std::string(order.content_type);
  if (response.content_type == "text/event-stream") {
    response.headers.push_back({"cache-control", "no-cache"});
  }
  response.headers.push_back({"x-lyre-voice", spoken->voice});
  response.headers.push_back({"x-lyre-seed", std::to_string(spoken->seed)});
  response.audio =
      AudioStream{std::move(spoken->pcm), order.body(*std::move(encoder)), info.sample_rate_hz,
                  spoken->seed,           std::move(spoken->voice),        order.error};
  return response;
}

}  // namespace lyre::server
