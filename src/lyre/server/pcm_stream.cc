// POST /v1/audio/speech/stream: {"input", "voice"} in, raw 16-bit PCM out, the contract of
// orpheus-streaming clients; what failed there with an empty 200 is an error here.
#include "lyre/server/routes.h"
#include "lyre/server/server_state.h"
#include "lyre/server/speech_response.h"

namespace lyre::server {
namespace {

HttpResponse stream(const HttpRequest& http, const ServerState& state) {
  JsonFields fields(http.body);
  SpeechRequest request;
  request.warm_up = http.warm_up;
  request.text = fields.required_text("input");
  request.voice = fields.text("voice").value_or("");
  read_speech_settings(fields, request);
  if (fields.error() != nullptr) return error_response(*fields.error());
  const auto service = state.service();
  if (!service) return error_response(not_ready_error());
  return speech_response(*service, std::move(request), {.encoding = AudioEncoding::kPcm16});
}

}  // namespace

void add_pcm_stream(RouteTable& routes) {
  routes.add("POST", "/v1/audio/speech/stream", stream, Admission::kReady);
}

}  // namespace lyre::server
