#include "lyre/server/elevenlabs_messages.h"

#include <gtest/gtest.h>

#include "server/conversation.h"

namespace lyre::server::test {
namespace {
using Lines = Conversation::Lines;

Conversation conversation(bool multi) {
  ElevenLabsMessages::Settings settings;
  settings.multi = multi;
  settings.voice = "leo";
  return Conversation(text_protocol(ElevenLabsMessages(settings)));
}

constexpr const char* kFinal = R"({"isFinal":true,"audio":null})";

std::string final_of(const std::string& context) {
  return R"({"isFinal":true,"contextId":")" + context + "\"}";
}

TEST(ElevenLabsSingle, TextIsSpokenToTheEmptyOne) {
  Conversation client = conversation(false);
  EXPECT_EQ(client.text(R"({"text": " ", "voice_settings": {"stability": 0.5, "speed": 1.1},
                            "generation_config": {"chunk_length_schedule": [120, 160]},
                            "xi_api_key": "secret"})"),
            Lines());
  EXPECT_EQ(client.text(R"({"text": "Hello ", "try_trigger_generation": true})"),
            Lines({"open 1 'Hello ' by leo ..."}));
  EXPECT_EQ(client.text(R"({"text": "world. ", "flush": true})"),
            Lines({"append 1 'world. '", "flush 1"}));
  EXPECT_EQ(client.audio(1, "abc"), Lines({R"({"audio":"YWJj","isFinal":null,"alignment":null,)"
                                           R"("normalizedAlignment":null})"}));
  EXPECT_EQ(client.text(R"({"text": ""})"), Lines({"finish 1"}));
  EXPECT_EQ(client.text(R"({"text": "Too late."})"), Lines());
  EXPECT_EQ(client.ended(1), Lines({kFinal, "close 1000"}));
}

TEST(ElevenLabsSingle, NothingToSpeakIsFinalAtOnce) {
  Conversation client = conversation(false);
  client.text(R"({"text": " "})");
  EXPECT_EQ(client.text(R"({"text": ""})"), Lines({kFinal, "close 1000"}));
}

TEST(ElevenLabsSingle, TheSettingsReachTheSpeech) {
  ElevenLabsMessages messages(
      {.voice = "leo", .format = {.encoding = AudioEncoding::kMulaw}, .seed = 3});
  Orders orders;
  messages.text(R"({"text": " ", "voice_settings": {"speed": 1.1}})", orders);
  messages.text(R"({"text": "Hi. "})", orders);
  const auto& open = std::get<OpenSpeech>(orders.at(0));
  EXPECT_EQ(open.speed, 1.1);
  EXPECT_EQ(open.format.encoding, AudioEncoding::kMulaw);
  EXPECT_EQ(open.request.sampling.seed, 3U);
}

TEST(ElevenLabsSingle, ErrorsAreToldAndClose) {
  Conversation client = conversation(false);
  EXPECT_EQ(client.text(R"({"text": 5})").back(), "close 1008");
  client.text(R"({"text": "Hi. "})");
  EXPECT_EQ(client.failed(1),
            Lines({R"({"message":"why","error":"internal","code":1011})", "close 1011"}));
  EXPECT_EQ(client.idle().back(), "close 1008");
}

TEST(ElevenLabsMulti, ContextsAreSpokenBesideEachOther) {
  Conversation client = conversation(true);
  EXPECT_EQ(client.text(R"({"text": " ", "context_id": "a"})"), Lines());
  EXPECT_EQ(client.text(R"({"text": "Hi. ", "context_id": "a"})"),
            Lines({"open 1 'Hi. ' by leo ..."}));
  EXPECT_EQ(client.text(R"({"text": "Ho. ", "context_id": "b"})"),
            Lines({"open 2 'Ho. ' by leo ..."}));
  EXPECT_EQ(client.text(R"({"context_id": "a", "flush": true})"), Lines({"flush 1"}));
  EXPECT_EQ(client.text(R"({"text": "", "context_id": "b"})"), Lines());  // keeps alive
  EXPECT_EQ(client.text(R"({"text": ""})"), Lines());
  EXPECT_EQ(client.audio(2, "abc"), Lines({R"({"audio":"YWJj","isFinal":null,"alignment":null,)"
                                           R"("normalizedAlignment":null,"contextId":"b"})"}));
}

TEST(ElevenLabsMulti, ACloseAfterAFlushLetsTheContextEnd) {
  Conversation client = conversation(true);
  client.text(R"({"text": "Hi. ", "context_id": "a", "flush": true})");
  EXPECT_EQ(client.text(R"({"context_id": "a", "close_context": true})"), Lines({"finish 1"}));
  // The name may be used again; it is another context.
  EXPECT_EQ(client.text(R"({"text": "Ho. ", "context_id": "a"})"),
            Lines({"open 2 'Ho. ' by leo ..."}));
  EXPECT_EQ(client.ended(1), Lines({final_of("a")}));
  EXPECT_EQ(client.text(R"({"text": "He. ", "context_id": "a"})"), Lines({"append 2 'He. '"}));
}

TEST(ElevenLabsMulti, ACloseWithoutAFlushInterrupts) {
  Conversation client = conversation(true);
  client.text(R"({"text": "Hi. ", "context_id": "a", "flush": true})");
  client.text(R"({"text": "And then", "context_id": "a"})");
  EXPECT_EQ(client.text(R"({"context_id": "a", "close_context": true})"),
            Lines({"cancel 1", final_of("a")}));
  EXPECT_EQ(client.text(R"({"context_id": "a", "close_context": true})"), Lines());
}

TEST(ElevenLabsMulti, ASecondCloseInterruptsWhatIsSpokenToItsEnd) {
  Conversation client = conversation(true);
  client.text(R"({"text": "Hi. ", "context_id": "a", "flush": true})");
  client.text(R"({"context_id": "a", "close_context": true})");
  EXPECT_EQ(client.text(R"({"context_id": "a", "close_context": true})"),
            Lines({"cancel 1", final_of("a")}));
}

TEST(ElevenLabsMulti, ContextsWithoutTextAreClosedAtOnce) {
  Conversation client = conversation(true);
  client.text(R"({"text": " ", "context_id": "a"})");
  EXPECT_EQ(client.text(R"({"context_id": "a", "close_context": true})"), Lines({final_of("a")}));
  EXPECT_EQ(client.text(R"({"context_id": "b", "close_context": true})"), Lines());
}

TEST(ElevenLabsMulti, TheEndOfTheSocketWaitsForWhatWasFlushed) {
  Conversation client = conversation(true);
  client.text(R"({"text": "Hi. ", "context_id": "a", "flush": true})");
  client.text(R"({"text": "Ho. ", "context_id": "b"})");
  EXPECT_EQ(client.text(R"({"close_socket": true})"),
            Lines({"finish 1", "cancel 2", final_of("b")}));
  EXPECT_EQ(client.ended(1), Lines({final_of("a"), "close 1000"}));
  EXPECT_EQ(conversation(true).text(R"({"close_socket": true})"), Lines({"close 1000"}));
}

TEST(ElevenLabsMulti, AFailureEndsItsContextOnly) {
  Conversation client = conversation(true);
  client.text(R"({"text": "Hi. ", "context_id": "a"})");
  client.text(R"({"text": "Ho. ", "context_id": "b"})");
  EXPECT_EQ(client.failed(1, ErrorCode::kResourceExhausted),
            Lines({R"({"message":"why","error":"resource_exhausted","code":1013,)"
                   R"("contextId":"a"})"}));
  EXPECT_EQ(client.text(R"({"text": "He. ", "context_id": "b"})"), Lines({"append 2 'He. '"}));
}

TEST(ElevenLabsMulti, ContextsAndTheirNamesAreLimited) {
  Conversation client = conversation(true);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(client.text(R"({"text": " ", "context_id": ")" + std::to_string(i) + "\"}"), Lines());
  }
  EXPECT_EQ(client.text(R"({"text": " ", "context_id": "16"})").back(), "close 1008");
  EXPECT_EQ(conversation(true)
                .text(R"({"text": " ", "context_id": ")" + std::string(257, 'x') + "\"}")
                .back(),
            "close 1008");
}

}  // namespace
}  // namespace lyre::server::test
