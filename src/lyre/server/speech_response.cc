#include "lyre/server/speech_response.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "lyre/base/quote.h"

namespace lyre::server {
namespace {

std::optional<float> as_float(std::optional<double> value) {
  if (!value) return std::nullopt;
  return static_cast<float>(*value);
}

std::optional<ApiError> check_text(const SpeechRequest& request, const ServiceInfo& info) {
  if (request.text.find_first_not_of(" \t\r\n\v\f") == std::string::npos) {
    return ApiError{400, "'input' is empty: there is nothing to speak.", "input", "empty_input"};
  }
  if (request.text.size() > static_cast<size_t>(info.max_text_bytes)) {
    return ApiError{400,
                    "'input' is " + std::to_string(request.text.size()) +
                        " bytes long; the limit is " + std::to_string(info.max_text_bytes) + ".",
                    "input", "string_above_max_length"};
  }
  return std::nullopt;
}

std::optional<ApiError> check_voice(const SpeechRequest& request, const ServiceInfo& info) {
  const auto& voices = info.voices;
  const bool known = request.voice.empty() ||
                     std::any_of(voices.begin(), voices.end(),
                                 [&](const auto& voice) { return voice.name == request.voice; });
  if (known) return std::nullopt;
  std::string names;
  for (const ServedVoice& voice : voices) names += (names.empty() ? "" : ", ") + voice.name;
  return ApiError{400, "Unknown voice " + quote(request.voice) + "; the voices are: " + names + ".",
                  "voice", "unknown_voice"};
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

HttpResponse speech_response(const SpeechService& service, SpeechRequest request,
                             const AudioFormat& format, double speed) {
  if (const auto error = check_text(request, service.info)) return error_response(*error);
  if (const auto error = check_voice(request, service.info)) return error_response(*error);
  Result<AudioEncoder> encoder = AudioEncoder::open(format, service.info.sample_rate_hz, speed);
  if (!encoder) return error_response(api_error(encoder.error()));
  Result<SpokenAudio> spoken = service.speak(std::move(request));
  if (!spoken) return error_response(api_error(spoken.error()));
  HttpResponse response;
  response.content_type = content_type(format.encoding);
  response.headers.push_back({"x-lyre-voice", spoken->voice});
  response.headers.push_back({"x-lyre-seed", std::to_string(spoken->seed)});
  response.audio = AudioStream{std::move(spoken->pcm), plain_body(*std::move(encoder)),
                               service.info.sample_rate_hz, spoken->seed, std::move(spoken->voice)};
  return response;
}

}  // namespace lyre::server
