#include "lyre/server/together_messages.h"

#include <gtest/gtest.h>

#include "server/conversation.h"

namespace lyre::server::test {
namespace {
using Lines = Conversation::Lines;

std::string received(const std::string& text) {
  return R"({"type":"conversation.item.input_text.received","text":")" + text + "\"}";
}

class Together : public testing::Test {
 protected:
  Lines append(const std::string& text) {
    return client.text(R"({"type": "input_text_buffer.append", "text": ")" + text + "\"}");
  }
  Lines commit() { return client.text(R"({"type": "input_text_buffer.commit"})"); }
  Lines clear() { return client.text(R"({"type": "input_text_buffer.clear"})"); }

  Conversation client{text_protocol(TogetherMessages("id", "leo"))};
};

TEST_F(Together, TextIsAnItemFromItsFirstPieceToTheCommit) {
  EXPECT_EQ(client.opened(), Lines({R"({"type":"session.created","session":{"id":"id"}})"}));
  EXPECT_EQ(append("Hel"), Lines({"open 1 'Hel' by leo ...", received("Hel")}));
  EXPECT_EQ(append("lo."), Lines({"append 1 'lo.'", received("lo.")}));
  EXPECT_EQ(client.audio(1, "abc"),
            Lines({R"({"type":"conversation.item.audio_output.delta","item_id":"id_1",)"
                   R"("delta":"YWJj"})"}));
  EXPECT_EQ(commit(), Lines({"finish 1"}));
  EXPECT_EQ(append("Next."), Lines({"open 2 'Next.' by leo ...", received("Next.")}));
  EXPECT_EQ(client.ended(1),
            Lines({R"({"type":"conversation.item.audio_output.done","item_id":"id_1"})"}));
  EXPECT_EQ(append("More."), Lines({"append 2 'More.'", received("More.")}));
}

TEST_F(Together, ACommitOfNothingIsNothing) {
  EXPECT_EQ(commit(), Lines());
  EXPECT_EQ(append("  "), Lines({received("  ")}));
  EXPECT_EQ(commit(), Lines());
}

TEST_F(Together, AClearCancelsWhateverWasSaid) {
  append("One.");
  commit();
  append("Two.");
  commit();
  client.ended(1);  // perhaps its "done" has not been sent
  append("Three.");
  EXPECT_EQ(clear(), Lines({"cancel 1", "cancel 2", "cancel 3"}));
  EXPECT_EQ(append("Four."), Lines({"open 4 'Four.' by leo ...", received("Four.")}));
}

TEST_F(Together, TheVoiceIsThatOfTheItemsToCome) {
  EXPECT_EQ(client.text(R"({"type": "tts_session.updated", "session": {"voice": "tara"}})"),
            Lines({R"({"type":"session.updated","session":{"id":"id","voice":"tara"}})"}));
  EXPECT_EQ(append("Hi.").front(), "open 1 'Hi.' by tara ...");
}

TEST_F(Together, AnErrorEndsNothingButItsItem) {
  EXPECT_EQ(client.text(R"({"type": "what"})"),
            Lines({R"({"type":"error","error":{"message":"Unknown 'type' 'what'.",)"
                   R"("code":"unknown_type"}})"}));
  EXPECT_EQ(client.text(R"({"type": "input_text_buffer.append"})"),
            Lines({R"({"type":"error","error":{"message":"'text' is required.",)"
                   R"("code":"missing_field"}})"}));
  append("One.");
  EXPECT_EQ(client.failed(1), Lines({R"({"type":"conversation.item.tts.failed","item_id":"id_1",)"
                                     R"("error":{"message":"why","code":"internal"}})"}));
  EXPECT_EQ(append("Two.").front(), "open 2 'Two.' by leo ...");
}

}  // namespace
}  // namespace lyre::server::test
