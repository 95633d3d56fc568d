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

std::string description(const ServedVoice& voice) {
  return std::string(or_else(voice.description, "A standard " + voice.name + " voice."));
}

/// The shape of orpheus-streaming: every key is always there, and what nobody said of a voice has
/// the words of the original.
HttpResponse orpheus_voices(const HttpRequest&, const ServerState& state) {
  const auto service = state.service();
  if (!service) return error_response(not_ready_error());
  json::array voices;
  for (const ServedVoice& voice : service->info.voices) {
    voices.push_back(json::object{{"name", voice.name},
                                  {"description", description(voice)},
                                  {"language", or_else(voice.language, "en")},
                                  {"gender", or_else(voice.gender, "unknown")},
                                  {"accent", voice.language.empty() ? "american" : "unknown"},
                                  {"preview_url", nullptr}});
  }
  const size_t count = voices.size();
  return json_response(200, json::serialize(json::object{{"voices", std::move(voices)},
                                                         {"default", service->info.default_voice},
                                                         {"count", count}}));
}

json::object voice_object(const ServedVoice& voice, const VoiceAliases& aliases) {
  json::array names;
  for (const VoiceAlias& alias : aliases) {
    if (alias.voice == voice.name) names.emplace_back(alias.name);
  }
  json::object labels;
  if (!voice.language.empty()) labels["language"] = voice.language;
  if (!voice.gender.empty()) labels["gender"] = voice.gender;
  return {{"id", voice.name},
          {"voice_id", voice.name},
          {"name", voice.name},
          {"description", description(voice)},
          {"aliases", std::move(names)},
          {"category", "premade"},
          {"labels", std::move(labels)},
          {"preview_url", nullptr},
          {"format", "model"}};
}

/// All keys by which clients of OpenAI-compatible servers, of the ElevenLabs API, of Open WebUI and
/// of CrispASR look a voice up; the names that clients of OpenAI use stand beside the voices.
HttpResponse all_voices(const HttpRequest&, const ServerState& state) {
  const auto service = state.service();
  if (!service) return error_response(not_ready_error());
  const VoiceAliases aliases = all_voice_aliases(*state.voice_aliases(), service->info);
  json::array voices;
  for (const ServedVoice& voice : service->info.voices) {
    voices.push_back(voice_object(voice, aliases));
  }
  json::object named;
  for (const VoiceAlias& alias : aliases) named[alias.name] = alias.voice;
  return json_response(200, json::serialize(json::object{{"status", "ok"},
                                                         {"voices", std::move(voices)},
                                                         {"default", service->info.default_voice},
                                                         {"aliases", std::move(named)}}));
}

}  // namespace

void add_voice_lists(RouteTable& routes) {
  routes.add("GET", "/api/voices", orpheus_voices, Admission::kReady);
  for (const char* path : {"/v1/audio/voices", "/v1/voices", "/audio/voices"}) {
    routes.add("GET", path, all_voices, Admission::kReady);
  }
}

}  // namespace lyre::server
