// Lists of voices in the shapes that clients ask for.
#include <boost/json.hpp>

#include "lyre/server/api_error.h"
#include "lyre/server/json_response.h"
#include "lyre/server/routes.h"
#include "lyre/server/server_state.h"

namespace lyre::server {
namespace json = boost::json;
namespace {

std::string_view or_else(const std::string& value, std::string_view otherwise) {
  return value.empty() ? otherwise : value;
}

/// The shape of orpheus-streaming: every key is always there.
HttpResponse orpheus_voices(const HttpRequest&, const ServerState& state) {
  const auto service = state.service();
  if (!service) return error_response(not_ready_error());
  json::array voices;
  for (const ServedVoice& voice : service->info.voices) {
    voices.push_back(json::object{
        {"name", voice.name},
        {"description", or_else(voice.description, "A standard " + voice.name + " voice.")},
        {"language", or_else(voice.language, "en")},
        {"gender", or_else(voice.gender, "unknown")},
        {"accent", "unknown"},
        {"preview_url", nullptr}});
  }
  const size_t count = voices.size();
  return json_response(200, json::serialize(json::object{{"voices", std::move(voices)},
                                                         {"default", service->info.default_voice},
                                                         {"count", count}}));
}

/// {"voices": [{"id", "name"}]}: what most OpenAI-compatible speech servers answer.
HttpResponse openai_voices(const HttpRequest&, const ServerState& state) {
  const auto service = state.service();
  if (!service) return error_response(not_ready_error());
  json::array voices;
  for (const ServedVoice& voice : service->info.voices) {
    voices.push_back(json::object{{"id", voice.name}, {"name", voice.name}});
  }
  return json_response(200, json::serialize(json::object{{"voices", std::move(voices)}}));
}

}  // namespace

void add_voice_lists(RouteTable& routes) {
  routes.add("GET", "/api/voices", orpheus_voices, Admission::kReady);
  routes.add("GET", "/v1/audio/voices", openai_voices, Admission::kReady);
}

}  // namespace lyre::server
