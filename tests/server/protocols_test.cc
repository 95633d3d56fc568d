// The handlers of all protocols, called without a socket.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "server/protocol_rig.h"

namespace lyre::server::test {
namespace {
namespace json = boost::json;

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
  EXPECT_EQ(response.content_type, "audio/mpeg");
  const SpeechRequest& request = speech.next()->request;
  EXPECT_EQ(request.voice, "");
  EXPECT_FALSE(request.sampling.seed || request.sampling.temperature || request.max_tokens ||
               request.fast_start || request.sampling.legal_slots);
}

TEST_F(Protocols, EveryFormatHasItsContentType) {
  const struct {
    const char* format;
    const char* content_type;
  } cases[] = {{"mp3", "audio/mpeg"},  {"opus", "audio/ogg"}, {"aac", "audio/aac"},
               {"flac", "audio/flac"}, {"wav", "audio/wav"},  {"pcm", "audio/pcm"},
               {"raw", "audio/pcm"}};
  for (const auto& c : cases) {
    const HttpResponse response = speak(
        std::string(R"({"input": "Hi.", "speed": 1.25, "response_format": ")") + c.format + "\"}");
    ASSERT_TRUE(response.audio.has_value()) << c.format << response.body;
    EXPECT_EQ(response.content_type, c.content_type);
  }
}

TEST_F(Protocols, TheSpeedChangesTheLength) {
  const HttpResponse response = speak(R"({"input": "Hi.", "speed": 2, "response_format": "pcm"})");
  ASSERT_TRUE(response.audio.has_value()) << response.body;
  const std::string body = whole_body(response, std::vector<float>(24'000, 0.1f));
  EXPECT_NEAR(static_cast<double>(body.size()), 24'000, 2400);  // half a second of 16 bits
}

TEST_F(Protocols, OpenAisVoicesAreKnown) {
  ASSERT_TRUE(speak(R"({"input": "Hi.", "voice": "ash"})").audio.has_value());
  EXPECT_EQ(speech.next()->request.voice, "max");
  ASSERT_TRUE(state.set_voice_aliases({{"ash", "ada"}}).ok());
  ASSERT_TRUE(speak(R"({"input": "Hi.", "voice": "ash"})").audio.has_value());
  EXPECT_EQ(speech.next()->request.voice, "ada");
  EXPECT_FALSE(state.set_voice_aliases({{"ash", "eve"}}).ok());
  ASSERT_TRUE(speak(R"({"input": "Hi.", "voice": "ash"})").audio.has_value());
  EXPECT_EQ(speech.next()->request.voice, "ada");  // what was refused changes nothing
}

TEST_F(Protocols, TheAliasOfThePathSpeaks) {
  const HttpResponse response =
      call("POST", "/audio/speech", R"({"input": "Hi.", "response_format": "wav"})");
  EXPECT_TRUE(response.audio.has_value()) << response.body;
}

// OpenAI's own models before gpt-4o-mini-tts do not; clients need not know which they reach.
TEST_F(Protocols, EventsAreForEveryModel) {
  for (const char* model : {"tts-1", "tts-1-hd", "gpt-4o-mini-tts"}) {
    const HttpResponse response = speak(std::string(R"({"input": "Hi.", "stream_format": "sse",
        "response_format": "pcm", "model": ")") +
                                        model + "\"}");
    ASSERT_TRUE(response.audio.has_value()) << response.body;
    EXPECT_EQ(response.content_type, "text/event-stream");
    EXPECT_EQ(header(response, "cache-control"), "no-cache");
  }
}

TEST_F(Protocols, TheEventsOfOpenAi) {
  const HttpResponse response =
      speak(R"({"input": "Hi.", "stream_format": "sse", "response_format": "pcm"})");
  ASSERT_TRUE(response.audio.has_value()) << response.body;
  std::string out;
  ASSERT_TRUE(response.audio->body.write(std::vector<float>{0, 0.5f}, out).ok());
  EXPECT_EQ(out, "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AAAAQA==\"}\n\n");
  out.clear();
  SpeechSummary summary;
  summary.prompt_tokens = 12;
  summary.generated_tokens = 700;
  ASSERT_TRUE(response.audio->body.end(summary, out).ok());
  EXPECT_EQ(out,
            "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":12,"
            "\"output_tokens\":700,\"total_tokens\":712}}\n\n");
}

TEST_F(Protocols, AFailureIsAnEvent) {
  const HttpResponse response =
      speak(R"({"input": "Hi.", "stream_format": "sse", "response_format": "pcm"})");
  ASSERT_TRUE(response.audio.has_value()) << response.body;
  std::string out;
  response.audio->body.fail(Error{ErrorCode::kDeviceLost, "it \"fell\" off"}, out);
  EXPECT_EQ(out,
            "data: {\"type\":\"error\",\"error\":{\"message\":\"it \\\"fell\\\" off\","
            "\"type\":\"server_error\",\"param\":null,\"code\":\"device_lost\"}}\n\n");
}

TEST_F(Protocols, TheDeltasAreTheFile) {
  const std::vector<float> samples = counting_samples(0, 40'000);
  for (const char* format : {"wav", "pcm", "mp3", "flac"}) {
    const std::string fields =
        std::string(R"({"input": "Hi.", "response_format": ")") + format + '"';
    const std::string file = whole_body(speak(fields + "}"), samples);
    const std::string events = whole_body(speak(fields + R"(, "stream_format": "sse"})"), samples);
    std::string joined;
    for (const std::string& line : lines_of(events)) {
      if (line.empty()) continue;
      ASSERT_TRUE(line.starts_with("data: {")) << line;
      EXPECT_LT(line.size(), 65'536u);  // more is too long for some clients' line readers
      const json::object event = json::parse(line.substr(6)).as_object();
      if (event.at("type") == "speech.audio.delta") joined += decode_base64(event.at("audio"));
    }
    EXPECT_EQ(joined, file) << format;
  }
}

TEST_F(Protocols, TogetherStreamsRawPcmAsEvents) {
  const std::string fields =
      R"({"input": "Hi.", "response_format": "raw", "response_encoding": "pcm_s16le")";
  const HttpResponse plain = speak(fields + "}");
  ASSERT_TRUE(plain.audio.has_value()) << plain.body;
  EXPECT_EQ(whole_body(plain, counting_samples(0, 5)), counting_pcm(0, 5));
  const HttpResponse response = speak(fields + R"(, "stream": true})");
  ASSERT_TRUE(response.audio.has_value()) << response.body;
  EXPECT_EQ(response.content_type, "text/event-stream");
  const std::vector<std::string> lines = lines_of(whole_body(response, counting_samples(0, 5)));
  ASSERT_EQ(lines.size(), 4u);
  const json::object delta = json::parse(lines[0].substr(6)).as_object();
  EXPECT_EQ(delta.at("type").as_string(), "conversation.item.audio_output.delta");
  EXPECT_FALSE(delta.at("item_id").as_string().empty());
  EXPECT_EQ(decode_base64(delta.at("delta")), counting_pcm(0, 5));
  EXPECT_EQ(lines[1], "");
  EXPECT_EQ(lines[2], "data: [DONE]");
  EXPECT_EQ(lines[3], "");
}

// Others send "stream" as well, and mean no events.
TEST_F(Protocols, StreamOfAnotherFormatIsNotLookedAt) {
  for (const char* stream : {"true", "false", "\"yes\""}) {
    const HttpResponse response = speak(
        std::string(R"({"input": "Hi.", "response_format": "pcm", "stream": )") + stream + "}");
    ASSERT_TRUE(response.audio.has_value()) << response.body;
    EXPECT_EQ(response.content_type, "audio/pcm");
  }
}

TEST_F(Protocols, BasetenSpeaksThePrompt) {
  for (const char* path : {"/v1/baseten/predict", "/production/predict", "/predict"}) {
    const HttpResponse response = call("POST", path, R"({
        "prompt": "Hi.", "voice": "max", "temperature": 0.5, "top_p": 0.25, "max_tokens": 700,
        "repetition_penalty": 1.5, "language": "en", "model": "Simplismart/orpheus-3b-0.1-ft",
        "request_id": "r", "max_chunk_size": 280})");
    ASSERT_TRUE(response.audio.has_value()) << response.body;
    EXPECT_EQ(response.content_type, "audio/pcm");
    const SpeechRequest& request = speech.next()->request;
    EXPECT_EQ(request.text, "Hi.");
    EXPECT_EQ(request.voice, "max");
    EXPECT_EQ(request.sampling.temperature, 0.5f);
    EXPECT_EQ(request.sampling.top_p, 0.25f);
    EXPECT_EQ(request.sampling.repetition_penalty, 1.5f);
    EXPECT_EQ(request.max_tokens, 700);
    EXPECT_EQ(whole_body(response, counting_samples(0, 9)), counting_pcm(0, 9));
    const HttpResponse error = call("POST", path, R"({"input": "Hi."})");
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(json::parse(error.body).at("error").at("param").as_string(), "prompt");
  }
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
      {R"({"input": "a", "response_format": "ogg"})", "response_format", "unsupported_format",
       "Unknown"},
      {R"({"input": "a", "response_format": "raw", "response_encoding": "pcm_f32le"})",
       "response_encoding", "unsupported_format", "'pcm_s16le'"},
      {R"({"input": "a", "response_format": "wav", "sample_rate": 1})", "sample_rate",
       "unsupported_format", "8000"},
      {R"({"input": "a", "sample_rate": 0})", "sample_rate", "invalid_value", "above 0"},
      {R"({"input": "a", "speed": 0.2})", "speed", "invalid_value", "0.25 to 4; found 0.2"},
      {R"({"input": "a", "speed": 4.1})", "speed", "invalid_value", "0.25 to 4"},
      {R"({"input": "a", "speed": "fast"})", "speed", "invalid_type", "a finite number"},
      {R"({"input": "a", "stream_format": "ws"})", "stream_format", "invalid_value", "'sse'"},
      {R"({"input": "a", "instructions": 1})", "instructions", "invalid_type", "a string"},
      {R"({"input": "a", "instructions": ")" + long_text + "\"}", "instructions",
       "string_above_max_length", "1000"},
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
  EXPECT_EQ(list.at("models").as_array().at(0).at("id").as_string(), "fake");
  for (const char* path : {"/v1/audio/models", "/audio/models"}) EXPECT_EQ(get(path), list);
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
  EXPECT_EQ(ada.at("accent").as_string(), "american");
  EXPECT_TRUE(ada.at("preview_url").is_null());
  const json::object& max = list.at("voices").as_array().at(1).as_object();
  EXPECT_EQ(max.at("description").as_string(), "A deep voice.");
  EXPECT_EQ(max.at("language").as_string(), "de");
  EXPECT_EQ(max.at("accent").as_string(), "unknown");
}

TEST_F(Protocols, VoicesAsOpenAiCompatibleServersListThem) {
  const json::object list = get("/v1/audio/voices");
  const json::object& max = list.at("voices").as_array().at(1).as_object();
  for (const char* key : {"id", "name", "voice_id"}) EXPECT_EQ(max.at(key).as_string(), "max");
  EXPECT_EQ(max.at("labels").at("language").as_string(), "de");
  EXPECT_TRUE(max.contains("format"));
  EXPECT_EQ(max.at("aliases").as_array().size(), 6u);
  EXPECT_EQ(max.at("aliases").as_array().at(0).as_string(), "ash");
  EXPECT_EQ(list.at("aliases").as_object().size(), 13u);
  EXPECT_EQ(list.at("aliases").at("alloy").as_string(), "ada");
  for (const char* path : {"/v1/voices", "/audio/voices"}) EXPECT_EQ(get(path), list) << path;
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
