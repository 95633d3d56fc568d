// POST /v1/text-to-speech/{voice_id}, .../stream and .../stream/with-timestamps, as the ElevenLabs
// API and its SDKs speak it, with errors in its shape.
#include "lyre/base/json_string.h"
#include "lyre/server/elevenlabs_format.h"
#include "lyre/server/query.h"
#include "lyre/server/routes.h"
#include "lyre/server/speech_events.h"
#include "lyre/server/speech_response.h"

namespace lyre::server {
namespace {

HttpResponse elevenlabs_error(const ApiError& error) {
  ApiError told = error;
  if (error.code == "unknown_voice") {
    told.status = 404;
    told.code = "voice_not_found";
  }
  HttpResponse response = error_response(told);  // for its headers
  response.body = "{\"detail\":{\"status\":";
  append_json_string(response.body, told.code);
  response.body += ",\"message\":";
  append_json_string(response.body, told.message);
  response.body += "}}\n";
  return response;
}

/// Lines of JSON. A model that writes codes does not tell which of them is which letter, so there
/// is no alignment.
SpeechBody lines_without_alignment(AudioEncoder encoder) {
  return base64_body(std::move(encoder),
                     {.before = R"({"audio_base64":")",
                      .after = "\",\"alignment\":null,\"normalized_alignment\":null}\n",
                      .end = {},
                      .fail = {}});
}

SpeechOrder read_order(const HttpRequest& http, JsonFields& fields) {
  SpeechOrder order;
  order.text_field = "text";
  order.format_field = "output_format";
  order.error = elevenlabs_error;
  order.request.text = fields.required_text("text");
  order.request.voice = decode_url(http.path_parameters.at(0));
  const std::string name =
      query_value(http.query, "output_format").value_or(std::string(kElevenLabsDefaultFormat));
  const Result<AudioFormat> format = elevenlabs_format(name);
  if (format) {
    order.format = *format;
  } else {
    fields.fail({400, format.error().message + ".", "output_format", "unsupported_format"});
  }
  order.speed = checked_speed(fields, fields.number("voice_settings", "speed"),
                              "voice_settings.speed", 0.7, 1.2);
  read_speech_settings(fields, order.request);
  return order;
}

HttpResponse speak(const HttpRequest& http, const ServerState& state) {
  JsonFields fields(http.body);
  SpeechOrder order = read_order(http, fields);
  return speech_response(http, fields, state, std::move(order));
}

HttpResponse speak_lines(const HttpRequest& http, const ServerState& state) {
  JsonFields fields(http.body);
  SpeechOrder order = read_order(http, fields);
  order.body = lines_without_alignment;
  order.content_type = "application/x-ndjson";
  return speech_response(http, fields, state, std::move(order));
}

}  // namespace

void add_elevenlabs_speech(RouteTable& routes) {
  const std::string path = "/v1/text-to-speech/{voice_id}";
  routes.add("POST", path, speak, Admission::kSpeech);
  routes.add("POST", path + "/stream", speak, Admission::kSpeech);
  routes.add("POST", path + "/stream/with-timestamps", speak_lines, Admission::kSpeech);
}

}  // namespace lyre::server
