#include "lyre/server/orpheus_messages.h"

#include <gtest/gtest.h>

#include "server/conversation.h"

namespace lyre::server::test {
namespace {
using Lines = Conversation::Lines;

class Orpheus : public testing::Test {
 protected:
  Conversation client{text_protocol(OrpheusMessages())};
};

TEST_F(Orpheus, ASegmentIsStartAudioAndEnd) {
  EXPECT_EQ(client.opened(), Lines());
  EXPECT_EQ(client.text(R"({"input": "Hi.", "voice": "leo", "segment_id": "s"})"),
            Lines({"open 1 'Hi.' by leo"}));
  EXPECT_EQ(client.started(1), Lines({R"({"type":"start","segment_id":"s"})"}));
  EXPECT_EQ(client.audio(1, "abc"), Lines({"binary abc"}));
  EXPECT_EQ(client.ended(1), Lines({R"({"type":"end","segment_id":"s"})"}));
}

TEST_F(Orpheus, EverySettingIsRead) {
  OrpheusMessages messages;
  Orders orders;
  messages.text(R"({"input": "Hi.", "seed": 7, "temperature": 0.5, "max_tokens": 70})", orders);
  const auto& open = std::get<OpenSpeech>(orders.at(0));
  EXPECT_EQ(open.request.sampling.seed, 7U);
  EXPECT_EQ(open.request.sampling.temperature, 0.5f);
  EXPECT_EQ(open.request.max_tokens, 70);
  EXPECT_EQ(open.format.encoding, AudioEncoding::kPcm16);
}

TEST_F(Orpheus, ASegmentWithoutTextIsAnsweredInItsTurn) {
  EXPECT_EQ(client.text(R"({"input": " \n", "segment_id": "a"})"),
            Lines({R"({"type":"no_op","reason":"empty_input","segment_id":"a"})"}));
  client.text(R"({"input": "Hi.", "segment_id": "b"})");
  EXPECT_EQ(client.text(R"({"input": "", "segment_id": "c"})"), Lines());
  EXPECT_EQ(client.text(R"({"input": "Ho.", "segment_id": "d"})"), Lines({"open 2 'Ho.'"}));
  EXPECT_EQ(client.ended(1),
            Lines({R"({"type":"end","segment_id":"b"})",
                   R"({"type":"no_op","reason":"empty_input","segment_id":"c"})"}));
  EXPECT_EQ(client.started(2), Lines({R"({"type":"start","segment_id":"d"})"}));
}

TEST_F(Orpheus, TheLastSegmentIsSpokenBeforeTheClose) {
  client.text(R"({"input": "Hi."})");
  EXPECT_EQ(client.text(R"({"input": "Ho.", "continue": false})"), Lines({"open 2 'Ho.'"}));
  EXPECT_EQ(client.text(R"({"input": "Too late."})"), Lines());
  EXPECT_EQ(client.ended(1), Lines({R"({"type":"end","segment_id":"no_segment_id"})"}));
  EXPECT_EQ(client.ended(2),
            Lines({R"({"type":"end","segment_id":"no_segment_id"})", "close 1000"}));
}

TEST_F(Orpheus, TheLastSegmentMayBeEmpty) {
  EXPECT_EQ(client.text(R"({"input": "", "continue": false})"),
            Lines({R"({"type":"no_op","reason":"empty_input","segment_id":"no_segment_id"})",
                   "close 1000"}));
}

TEST_F(Orpheus, WhatIsWrongIsToldAndCloses) {
  EXPECT_EQ(client.text(R"({"segment_id": "s"})"),
            Lines({R"({"error":"'input' is required.","done":true,"segment_id":"no_segment_id"})",
                   "close 1008"}));
  EXPECT_EQ(Conversation(text_protocol(OrpheusMessages())).text("[]").back(), "close 1008");
  client.text(R"({"input": "Hi.", "segment_id": "a"})");
  client.text(R"({"input": "Ho.", "segment_id": "b"})");
  EXPECT_EQ(client.failed(2, ErrorCode::kResourceExhausted),
            Lines({R"({"error":"why","done":true,"segment_id":"b"})", "close 1013"}));
}

}  // namespace
}  // namespace lyre::server::test
