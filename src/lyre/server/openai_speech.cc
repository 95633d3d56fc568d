// POST /v1/audio/speech, as OpenAI's API and its SDKs speak it; docs/http.md has the table of
// fields.
#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "lyre/base/quote.h"
#include "lyre/server/routes.h"
#include "lyre/server/server_state.h"
#include "lyre/server/speech_response.h"

namespace lyre::server {
namespace {

AudioEncoding read_format(JsonFields& fields) {
  // The contract's own default is mp3, which needs an encoder; until there is one, the default is
  // wav, and whoever asks for mp3 by name is told.
  static constexpr std::array<std::string_view, 4> kWithoutEncoder = {"mp3", "opus", "aac", "flac"};
  const std::string name = fields.text("response_format").value_or("wav");
  if (name == "wav") return AudioEncoding::kWav;
  if (name == "pcm") return AudioEncoding::kPcm16;
  const bool known =
      std::find(kWithoutEncoder.begin(), kWithoutEncoder.end(), name) != kWithoutEncoder.end();
  fields.fail({400,
               known ? "'response_format' " + quote(name) +
                           " is not supported by this build; use 'wav' or 'pcm'."
                     : "Unknown 'response_format' " + quote(name) + "; use 'wav' or 'pcm'.",
               "response_format", "unsupported_format"});
  return AudioEncoding::kWav;
}

void check_speed(JsonFields& fields) {
  const double speed = fields.number("speed").value_or(1.0);
  if (std::abs(speed - 1.0) > 1e-9) {
    fields.fail({400, "Only 'speed' 1.0 is supported.", "speed", "unsupported_value"});
  }
}

void check_stream_format(JsonFields& fields) {
  const std::string name = fields.text("stream_format").value_or("audio");
  if (name != "audio") {
    fields.fail({400, "'stream_format' " + quote(name) + " is not supported; use 'audio'.",
                 "stream_format", "unsupported_value"});
  }
}

HttpResponse speak(const HttpRequest& http, const ServerState& state) {
  JsonFields fields(http.body);
  SpeechRequest request;
  request.warm_up = http.warm_up;
  request.text = fields.required_text("input");
  request.voice = fields.text_or_id("voice").value_or("");
  request.description = fields.text("instructions").value_or("");
  const AudioFormat format{.encoding = read_format(fields)};
  check_speed(fields);
  check_stream_format(fields);
  read_speech_settings(fields, request);
  if (fields.error() != nullptr) return error_response(*fields.error());
  const auto service = state.service();
  if (!service) return error_response(not_ready_error());
  return speech_response(*service, std::move(request), format);
}

}  // namespace

void add_openai_speech(RouteTable& routes) {
  routes.add("POST", "/v1/audio/speech", speak, Admission::kReady);
}

}  // namespace lyre::server
