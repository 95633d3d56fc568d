// The handlers of all protocols, called without a socket.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "lyre/server/server_state.h"
#include "server/fake_speech.h"

namespace lyre::server::test {
namespace {
namespace json = boost::json;

class Protocols : public testing::Test {
 protected:
  Protocols()
      : state([] {
          ServerConfig config;
          config.version = "1.2.3";
          return config;
        }()) {
    state.set_service(speech.service());
    state.readiness().skip_warmup();
  }

  HttpResponse call(const char* method, const char* path, std::string body = "") {
    const auto match = state.routes().find(method, path);
    EXPECT_NE(match.handler, nullptr) << path;
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.path_parameters = match.parameters;
    request.body = std::move(body);
    return (*match.handler)(request, state);
  }
  HttpResponse speak(std::string body) { return call("POST", "/v1/audio/speech", body); }
  json::object get(const char* path) {
    const HttpResponse response = call("GET", path);
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_EQ(response.content_type, "application/json") << path;
    return json::parse(response.body).as_object();
  }

  FakeSpeech speech;
  ServerState state;
};

TEST_F(Protocols, EveryFieldReachesTheService) {
  const HttpResponse response = speak(R"({
      "model": "tts-1", "input": "Hi.", "voice": {"id": "max"}, "instructions": "calmly",
      "response_format": "pcm", "speed": 1, "stream_format": "audio", "seed": 18446744073709551615,
      "temperature": 0.5, "top_p": 0.25, "top_k": 40, "min_p": 0.125, "repetition_penalty": 1.5,
      "max_tokens": 700, "legal_slots": false, "fast_start": true, "something": ["else"]})");
  ASSERT_TRUE(response.audio.has_value()) << response.body;
  EXPECT_EQ(response.content_type, "audio/pcm");
  const SpeechRequest& request = speech.next()->request;
  EXPECT_EQ(request.text, "Hi.");
  EXPECT_EQ(request.voice, "max");
  EXPECT_EQ(request.description, "calmly");
  EXPECT_EQ(request.sampling.seed, UINT64_MAX);
  EXPECT_EQ(request.sampling.temperature, 0.5f);
  EXPECT_EQ(request.sampling.top_p, 0.25f);
  EXPECT_EQ(request.sampling.top_k, 40);
  EXPECT_EQ(request.sampling.min_p, 0.125f);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(request.max_tokens, 700);
  EXPECT_EQ(request.sampling.legal_slots, false);
  EXPECT_EQ(request.fast_start, true);
}

TEST_F(Protocols, OnlyTheTextIsNeeded) {
  const HttpResponse response = speak(R"({"input": "Hi."})");
  ASSERT_TRUE(response.audio.has_value()) << response.body;
  EXPECT_EQ(response.content_type, "audio/wav");
  const SpeechRequest& request = speech.next()->request;
  EXPECT_EQ(request.voice, "");
  EXPECT_FALSE(request.sampling.seed || request.sampling.temperature || request.max_tokens ||
               request.fast_start || request.sampling.legal_slots);
}

TEST_F(Protocols, PcmStreamSpeaksRawPcm) {
  const HttpResponse response =
      call("POST", "/v1/audio/speech/stream", R"({"input": "Hi.", "voice": "max"})");
  ASSERT_TRUE(response.audio.has_value()) << response.body;
  EXPECT_EQ(response.content_type, "audio/pcm");
  EXPECT_EQ(speech.next()->request.voice, "max");
}

TEST_F(Protocols, WhatIsWrongIsToldByName) {
  const std::string long_text(1001, 'a');
  const struct {
    std::string body;
    const char* param;
    const char* code;
    const char* message_part;
  } cases[] = {
      {R"({})", "input", "missing_field", "required"},
      {R"({"input": ""})", "input", "empty_input", "empty"},
      {R"({"input": " \t\n\r"})", "input", "empty_input", "empty"},
      {R"({"input": ")" + long_text + "\"}", "input", "string_above_max_length", "1000"},
      {R"({"input": 5})", "input", "invalid_type", "a string"},
      {R"({"input": "a", "voice": "nobody"})", "voice", "unknown_voice", "ada, max"},
      {R"({"input": "a", "voice": ["ada"]})", "voice", "invalid_type", "an array"},
      {R"({"input": "a", "response_format": "mp3"})", "response_format", "unsupported_format",
       "'wav' or 'pcm'"},
      {R"({"input": "a", "response_format": "ogg"})", "response_format", "unsupported_format",
       "Unknown"},
      {R"({"input": "a", "speed": 1.5})", "speed", "unsupported_value", "1.0"},
      {R"({"input": "a", "stream_format": "sse"})", "stream_format", "unsupported_value", "audio"},
      {R"({"input": "a", "seed": -1})", "seed", "invalid_type", "from 0"},
      {R"({"input": "a", "temperature": "hot"})", "temperature", "invalid_type", "'hot'"},
      {R"({"input": "a", "max_tokens": 1.5})", "max_tokens", "invalid_type", "integer"},
      {R"({"input": "a", "fast_start": 1})", "fast_start", "invalid_type", "true or false"},
  };
  for (const auto& c : cases) {
    const HttpResponse response = speak(c.body);
    EXPECT_EQ(response.status, 400) << c.body;
    EXPECT_FALSE(response.audio.has_value()) << c.body;
    const json::object error = json::parse(response.body).at("error").as_object();
    EXPECT_EQ(error.at("param").as_string(), c.param) << c.body;
    EXPECT_EQ(error.at("code").as_string(), c.code) << c.body;
    const std::string message(error.at("message").as_string());
    EXPECT_NE(message.find(c.message_part), message.npos) << message;
  }
}

// The peer writes the voice into a file name (lessons B18): here it is only ever compared.
TEST_F(Protocols, PeerFaultB18AVoiceIsNoPath) {
  for (const char* voice : {"../../etc/passwd", "ada/../max", "ada\\u0000", "ADA", " ada"}) {
    const HttpResponse response =
        speak(std::string(R"({"input": "a", "voice": ")") + voice + "\"}");
    EXPECT_EQ(response.status, 400) << voice;
    EXPECT_NE(response.body.find("unknown_voice"), std::string::npos) << voice;
  }
}

TEST_F(Protocols, ErrorsOfTheServiceAreAnswered) {
  speech.refusal = Error{ErrorCode::kInvalidArgument, "top_p: 3 is not in (0, 1]"};
  EXPECT_EQ(speak(R"({"input": "a", "top_p": 3})").status, 400);
  speech.refusal = Error{ErrorCode::kResourceExhausted, "full"};
  EXPECT_EQ(speak(R"({"input": "a"})").status, 429);
  speech.refusal = Error{ErrorCode::kUnavailable, "stopping"};
  EXPECT_EQ(speak(R"({"input": "a"})").status, 503);
}

TEST_F(Protocols, ModelsAsOpenAiListsThem) {
  const json::object list = get("/v1/models");
  EXPECT_EQ(list.at("object").as_string(), "list");
  const json::object& model = list.at("data").as_array().at(0).as_object();
  EXPECT_EQ(model.at("id").as_string(), "fake");
  EXPECT_EQ(model.at("object").as_string(), "model");
  EXPECT_EQ(model.at("created").as_int64(), 1'700'000'000);
  EXPECT_EQ(model.at("owned_by").as_string(), "lyre");
}

TEST_F(Protocols, VoicesAsOrpheusStreamingListsThem) {
  const json::object list = get("/api/voices");
  EXPECT_EQ(list.at("default").as_string(), "ada");
  EXPECT_EQ(list.at("count").as_int64(), 2);
  const json::object& ada = list.at("voices").as_array().at(0).as_object();
  EXPECT_EQ(ada.at("name").as_string(), "ada");
  EXPECT_EQ(ada.at("description").as_string(), "A standard ada voice.");
  EXPECT_EQ(ada.at("language").as_string(), "en");
  EXPECT_EQ(ada.at("gender").as_string(), "unknown");
  EXPECT_TRUE(ada.contains("accent"));
  EXPECT_TRUE(ada.at("preview_url").is_null());
  const json::object& max = list.at("voices").as_array().at(1).as_object();
  EXPECT_EQ(max.at("description").as_string(), "A deep voice.");
  EXPECT_EQ(max.at("language").as_string(), "de");
}

TEST_F(Protocols, VoicesAsOpenAiCompatibleServersListThem) {
  const json::object list = get("/v1/audio/voices");
  const json::object& max = list.at("voices").as_array().at(1).as_object();
  EXPECT_EQ(max.at("id").as_string(), "max");
  EXPECT_EQ(max.at("name").as_string(), "max");
}

TEST_F(Protocols, ReadyTellsTheLoad) {
  const json::object ready = get("/readyz");
  EXPECT_EQ(ready.at("status").as_string(), "ready");
  EXPECT_EQ(ready.at("requests").at("submitted").as_int64(), 0);
  for (const char* key : {"running", "queued", "free_sequences", "free_kv_tokens"}) {
    EXPECT_TRUE(ready.contains(key)) << key;
  }
}

TEST_F(Protocols, ALostDeviceIsNotReady) {
  speech.health = Error{ErrorCode::kDeviceLost, "the GPU fell off"};
  const HttpResponse response = call("GET", "/readyz");
  EXPECT_EQ(response.status, 503);
  EXPECT_NE(response.body.find("the GPU fell off"), std::string::npos);
}

TEST_F(Protocols, StoppingIsNotReady) {
  state.begin_stop();
  const HttpResponse response = call("GET", "/readyz");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, "{\"status\":\"stopping\"}\n");
  EXPECT_EQ(speak(R"({"input": "a"})").status, 503);
  EXPECT_EQ(call("GET", "/healthz").status, 200);
}

TEST_F(Protocols, TheIndexListsEveryEndpoint) {
  const json::object index = get("/");
  EXPECT_EQ(index.at("name").as_string(), "lyre");
  EXPECT_EQ(index.at("version").as_string(), "1.2.3");
  EXPECT_EQ(index.at("endpoints").as_array().size(), state.routes().list().size());
}

}  // namespace
}  // namespace lyre::server::test
