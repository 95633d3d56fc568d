// The paths of the WebSocket protocols.
#include <charconv>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "lyre/base/quote.h"
#include "lyre/server/api_error.h"
#include "lyre/server/baseten_messages.h"
#include "lyre/server/elevenlabs_format.h"
#include "lyre/server/elevenlabs_messages.h"
#include "lyre/server/orpheus_messages.h"
#include "lyre/server/query.h"
#include "lyre/server/request_id.h"
#include "lyre/server/routes.h"
#include "lyre/server/together_messages.h"
#include "lyre/server/web_socket.h"

namespace lyre::server {
namespace {

constexpr int kMostInactivity_s = 180;  // as ElevenLabs has it

HttpResponse orpheus(const HttpRequest& request, const ServerState&) {
  return web_socket_response(request, text_protocol(OrpheusMessages()));
}

HttpResponse baseten(const HttpRequest& request, const ServerState&) {
  return web_socket_response(request, text_protocol(BasetenMessages()));
}

HttpResponse together(const HttpRequest& request, const ServerState&) {
  TogetherMessages messages(request_id(""), query_value(request.query, "voice").value_or(""));
  return web_socket_response(request, text_protocol(std::move(messages)));
}

/// Nothing if the query has none; the error if it is none.
template <class T>
Result<std::optional<T>> query_number(std::string_view query, std::string_view name, T least,
                                      T most) {
  const std::optional<std::string> text = query_value(query, name);
  if (!text) return std::optional<T>();
  T value{};
  const char* const end = text->data() + text->size();
  const auto read = std::from_chars(text->data(), end, value);
  if (read.ec != std::errc() || read.ptr != end || value < least || value > most) {
    return Error{ErrorCode::kInvalidArgument,
                 "'" + std::string(name) + "' must be an integer from " + std::to_string(least) +
                     " to " + std::to_string(most) + "; found " + quote(*text) + "."};
  }
  return std::optional<T>(value);
}

Result<ElevenLabsMessages::Settings> elevenlabs_settings(const HttpRequest& request, bool multi) {
  ElevenLabsMessages::Settings settings;
  settings.multi = multi;
  settings.voice = decode_url(request.path_parameters.at(0));
  LYRE_ASSIGN_OR_RETURN(settings.format,
                        elevenlabs_format(query_value(request.query, "output_format")
                                              .value_or(std::string(kElevenLabsDefaultFormat))));
  LYRE_ASSIGN_OR_RETURN(settings.seed,
                        query_number<uint64_t>(request.query, "seed", 0, UINT64_MAX));
  LYRE_ASSIGN_OR_RETURN(
      const std::optional<int> inactivity,
      query_number<int>(request.query, "inactivity_timeout", 1, kMostInactivity_s));
  if (inactivity) settings.inactivity_timeout_s = *inactivity;
  return settings;
}

HttpResponse elevenlabs(const HttpRequest& request, bool multi) {
  Result<ElevenLabsMessages::Settings> settings = elevenlabs_settings(request, multi);
  if (!settings) return error_response(api_error(settings.error()));
  const std::chrono::seconds inactivity(settings->inactivity_timeout_s);
  TextProtocol protocol = text_protocol(ElevenLabsMessages(*std::move(settings)));
  protocol.one_at_a_time = false;
  protocol.idle_timeout = inactivity;
  return web_socket_response(request, std::move(protocol));
}

}  // namespace

void add_web_sockets(RouteTable& routes) {
  routes.add("GET", "/v1/audio/speech/stream/ws", orpheus, Admission::kReady);
  for (const char* path : {"/v1/baseten/websocket", "/environments/production/websocket"}) {
    routes.add("GET", path, baseten, Admission::kReady);
  }
  routes.add("GET", "/v1/audio/speech/websocket", together, Admission::kReady);
  routes.add(
      "GET", "/v1/text-to-speech/{voice_id}/stream-input",
      [](const HttpRequest& request, const ServerState&) { return elevenlabs(request, false); },
      Admission::kReady);
  routes.add(
      "GET", "/v1/text-to-speech/{voice_id}/multi-stream-input",
      [](const HttpRequest& request, const ServerState&) { return elevenlabs(request, true); },
      Admission::kReady);
}

}  // namespace lyre::server
