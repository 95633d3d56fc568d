// POST /v1/audio/speech/stream: {"input", "voice"} in, raw 16-bit PCM out, the contract of
// orpheus-streaming clients; what failed there with an empty 200 is an error here.
#include "lyre/server/routes.h"
#include "lyre/server/speech_response.h"

namespace lyre::server {
namespace {

HttpResponse stream(const HttpRequest& http, const ServerState& state) {
  JsonFields fields(http.body);
  SpeechOrder order;
  order.request.text = fields.required_text("input");
  order.request.voice = fields.text("voice").value_or("");
  order.format.encoding = AudioEncoding::kPcm16;
  read_speech_settings(fields, order.request);
  return speech_response(http, fields, state, std::move(order));
}

}  // namespace

void add_pcm_stream(RouteTable& routes) {
  routes.add("POST", "/v1/audio/speech/stream", stream, Admission::kSpeech);
}

}  // namespace lyre::server
