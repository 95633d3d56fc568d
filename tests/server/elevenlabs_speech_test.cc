// POST /v1/text-to-speech/{voice_id} and what follows it.
#include <gtest/gtest.h>

#include "server/protocol_rig.h"
#include "server/running_server.h"

namespace lyre::server::test {
namespace {

class ElevenLabsSpeech : public Protocols {
 protected:
  json::object detail(const HttpResponse& response) {
    EXPECT_EQ(response.content_type, "application/json");
    const json::object body = json::parse(response.body).as_object();
    EXPECT_EQ(body.size(), 1u);
    return body.at("detail").as_object();
  }
};

TEST_F(ElevenLabsSpeech, EveryFieldReachesTheService) {
  for (const char* path : {"/v1/text-to-speech/max", "/v1/text-to-speech/m%61x/stream",
                           "/v1/text-to-speech/max/stream/with-timestamps"}) {
    const HttpResponse response =
        call("POST", std::string(path) + "?output_format=pcm_24000&optimize_streaming_latency=3",
             R"({"text": "Hi.", "model_id": "eleven_turbo_v2_5", "seed": 7, "language_code": "en",
                 "voice_settings": {"stability": 0.5, "similarity_boost": 0.75, "speed": null}})");
    ASSERT_TRUE(response.audio.has_value()) << response.body;
    const SpeechRequest& request = speech.next()->request;
    EXPECT_EQ(request.text, "Hi.");
    EXPECT_EQ(request.voice, "max");
    EXPECT_EQ(request.sampling.seed, 7u);
  }
}

TEST_F(ElevenLabsSpeech, TheQueryChoosesTheFormat) {
  const struct {
    const char* query;
    const char* content_type;
  } cases[] = {{"", "audio/mpeg"},
               {"?output_format=mp3_22050_32", "audio/mpeg"},
               {"?output_format=pcm_16000", "audio/pcm"},
               {"?output_format=ulaw_8000", "audio/basic"},
               {"?output_format=opus_48000_64", "audio/ogg"},
               {"?output_format=wav_44100", "audio/wav"}};
  for (const auto& c : cases) {
    const HttpResponse response =
        call("POST", std::string("/v1/text-to-speech/ada/stream") + c.query, R"({"text": "Hi."})");
    ASSERT_TRUE(response.audio.has_value()) << c.query << response.body;
    EXPECT_EQ(response.content_type, c.content_type) << c.query;
  }
  const HttpResponse response =
      call("POST", "/v1/text-to-speech/ada?output_format=pcm_24000", R"({"text": "Hi."})");
  EXPECT_EQ(whole_body(response, counting_samples(0, 100)), counting_pcm(0, 100));
}

TEST_F(ElevenLabsSpeech, LinesWithoutAlignment) {
  const HttpResponse response =
      call("POST", "/v1/text-to-speech/ada/stream/with-timestamps?output_format=pcm_24000",
           R"({"text": "Hi."})");
  const std::vector<float> samples = counting_samples(0, 40'000);
  std::string joined;
  for (const std::string& line : lines_of(whole_body(response, samples))) {
    const json::object object = json::parse(line).as_object();
    EXPECT_TRUE(object.at("alignment").is_null());
    EXPECT_TRUE(object.at("normalized_alignment").is_null());
    joined += decode_base64(object.at("audio_base64"));
  }
  EXPECT_EQ(joined, counting_pcm(0, 40'000));
  EXPECT_FALSE(response.audio->body.fail);  // a failure breaks the body off
}

TEST_F(ElevenLabsSpeech, ErrorsHaveADetail) {
  const struct {
    const char* target;
    const char* body;
    int status;
    const char* code;
    const char* part;
  } cases[] = {
      {"/v1/text-to-speech/nobody", R"({"text": "Hi."})", 404, "voice_not_found", "ada, max"},
      {"/v1/text-to-speech/ada", R"({"input": "Hi."})", 400, "missing_field", "'text'"},
      {"/v1/text-to-speech/ada", R"({"text": " "})", 400, "empty_input", "'text'"},
      {"/v1/text-to-speech/ada", "{", 400, "invalid_json", "line 1"},
      {"/v1/text-to-speech/ada?output_format=midi", R"({"text": "Hi."})", 400, "unsupported_format",
       "pcm_24000"},
      {"/v1/text-to-speech/ada", R"({"text": "Hi.", "voice_settings": {"speed": 1.3}})", 400,
       "invalid_value", "'voice_settings.speed' must be 0.7 to 1.2; found 1.3"},
      {"/v1/text-to-speech/ada", R"({"text": "Hi.", "voice_settings": {"speed": "1"}})", 400,
       "invalid_type", "'voice_settings.speed'"},
      {"/v1/text-to-speech/ada", R"({"text": "Hi.", "voice_settings": 1})", 400, "invalid_type",
       "an object"},
  };
  for (const auto& c : cases) {
    const HttpResponse response = call("POST", c.target, c.body);
    EXPECT_EQ(response.status, c.status) << c.target << c.body;
    const json::object error = detail(response);
    EXPECT_EQ(error.at("status").as_string(), c.code);
    const std::string message(error.at("message").as_string());
    EXPECT_NE(message.find(c.part), message.npos) << message;
  }
  speech.refusal = Error{ErrorCode::kResourceExhausted, "full"};
  const HttpResponse full = call("POST", "/v1/text-to-speech/ada", R"({"text": "Hi."})");
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(header(full, "Retry-After"), "1");
  EXPECT_EQ(detail(full).at("message").as_string(), "full");
}

class ElevenLabsServer : public RunningServer {};

TEST_F(ElevenLabsServer, AFailureBeforeTheFirstSampleHasADetailToo) {
  open();
  TestClient client(port());
  ASSERT_TRUE(client.send(post("/v1/text-to-speech/ada/stream", R"({"text": "Hi."})")));
  FakeSpeech::Call* const call = speech.next();
  ASSERT_NE(call, nullptr);
  call->sink.finish(Error{ErrorCode::kInternal, "no luck"});
  const WireResponse response = client.read_response();
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body, "{\"detail\":{\"status\":\"internal\",\"message\":\"no luck\"}}\n");
}

}  // namespace
}  // namespace lyre::server::test
