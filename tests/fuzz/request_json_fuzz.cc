// The body of every POST that asks for speech. Whatever it is, the answer is speech for a request
// that is in order, or an error of the documented shape.

#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lyre/base/check.h"
#include "lyre/base/utf8.h"
#include "lyre/server/server_state.h"

namespace {

using lyre::server::HttpResponse;
using lyre::server::ServerState;
using lyre::server::SpeechRequest;
namespace json = boost::json;

constexpr size_t kMostTextBytes = 64;

struct Protocol {
  const char* path;
  const char* parameter;  // of the path; null: none
  const char* text_field;
};
constexpr Protocol kProtocols[] = {
    {"/v1/audio/speech", nullptr, "input"},
    {"/v1/audio/speech/stream", nullptr, "input"},
    {"/v1/baseten/predict", nullptr, "prompt"},
    {"/v1/text-to-speech/ada", "ada", "text"},
};

/// The last request that reached the service.
std::optional<SpeechRequest>& last_request() {
  static std::optional<SpeechRequest> request;
  return request;
}

ServerState& state() {
  static ServerState* const made = [] {
    auto* server = new ServerState({});
    lyre::server::SpeechService service;
    service.info.voices = {{"ada", "", "", ""}, {"max", "", "", ""}};
    service.info.sample_rate_hz = 24'000;
    service.info.max_text_bytes = kMostTextBytes;
    service.speak = [](SpeechRequest request) -> lyre::Result<lyre::server::SpokenAudio> {
      last_request() = std::move(request);
      return lyre::server::SpokenAudio{lyre::make_pcm_channel(1).second, 1, "ada"};
    };
    server->set_service(std::move(service));
    return server;
  }();
  return *made;
}

void check_error(const HttpResponse& response) {
  LYRE_CHECK(response.status == 400);
  LYRE_CHECK(response.content_type == "application/json");
  const json::value body = json::parse(response.body);
  if (const json::value* detail = body.as_object().if_contains("detail")) {
    LYRE_CHECK(!detail->at("message").as_string().empty());
    LYRE_CHECK(!detail->at("status").as_string().empty());
    return;
  }
  const json::object& error = body.at("error").as_object();
  LYRE_CHECK(error.size() == 4);
  LYRE_CHECK(!error.at("message").as_string().empty());
  LYRE_CHECK(error.at("type").as_string() == "invalid_request_error");
  LYRE_CHECK(error.contains("param") && error.contains("code"));
}

void check_speech(const HttpResponse& response, std::string_view body, const char* text_field) {
  LYRE_CHECK(response.status == 200);
  LYRE_CHECK(last_request().has_value());
  const SpeechRequest& request = *last_request();
  LYRE_CHECK(!request.text.empty() && request.text.size() <= kMostTextBytes);
  LYRE_CHECK(!lyre::find_invalid_utf8(request.text));
  LYRE_CHECK(request.voice.empty() || request.voice == "ada" || request.voice == "max");
  json::error_code failure;
  const json::value parsed = json::parse(json::string_view(body.data(), body.size()), failure);
  LYRE_CHECK(!failure);
  LYRE_CHECK(parsed.at(text_field).as_string() == json::string_view(request.text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string body(reinterpret_cast<const char*>(data), size);
  for (const Protocol& protocol : kProtocols) {
    last_request().reset();
    const auto match = state().routes().find("POST", protocol.path);
    lyre::server::HttpRequest request;
    request.method = "POST";
    request.path = protocol.path;
    request.body = body;
    if (protocol.parameter != nullptr) request.path_parameters = {protocol.parameter};
    const HttpResponse response = (*match.handler)(request, state());
    if (response.audio) {
      check_speech(response, body, protocol.text_field);
    } else {
      LYRE_CHECK(!last_request().has_value());
      check_error(response);
    }
  }
  return 0;
}
