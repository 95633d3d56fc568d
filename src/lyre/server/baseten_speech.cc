// {"prompt", "voice"} in, raw 16-bit PCM out: what clients of Baseten's and Simplismart's Orpheus
// post to a URL that their users set. The paths are a clear one and those that Baseten serves.
#include "lyre/server/routes.h"
#include "lyre/server/speech_response.h"

namespace lyre::server {
namespace {

HttpResponse speak(const HttpRequest& http, const ServerState& state) {
  JsonFields fields(http.body);
  SpeechOrder order;
  order.text_field = "prompt";
  order.request.text = fields.required_text("prompt");
  order.request.voice = fields.text("voice").value_or("");
  order.format.encoding = AudioEncoding::kPcm16;
  read_speech_settings(fields, order.request);
  return speech_response(http, fields, state, std::move(order));
}

}  // namespace

void add_baseten_speech(RouteTable& routes) {
  for (const char* path : {"/v1/baseten/predict", "/production/predict", "/predict"}) {
    routes.add("POST", path, speak, Admission::kSpeech);
  }
}

}  // namespace lyre::server
