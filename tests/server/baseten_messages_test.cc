#include "lyre/server/baseten_messages.h"

#include <gtest/gtest.h>

#include "server/conversation.h"

namespace lyre::server::test {
namespace {
using Lines = Conversation::Lines;

class Baseten : public testing::Test {
 protected:
  Conversation client{text_protocol(BasetenMessages())};
};

TEST_F(Baseten, PiecesArePassedOnAsTheyAre) {
  EXPECT_EQ(client.text(R"({"voice": "leo", "max_tokens": 2000, "buffer_size": 10})"), Lines());
  EXPECT_EQ(client.text(" "), Lines());  // no speech is opened for a blank
  EXPECT_EQ(client.text("un"), Lines({"open 1 'un' by leo ..."}));
  EXPECT_EQ(client.text("believ"), Lines({"append 1 'believ'"}));
  EXPECT_EQ(client.text(" "), Lines({"append 1 ' '"}));
  EXPECT_EQ(client.started(1), Lines());
  EXPECT_EQ(client.audio(1, "abc"), Lines({"binary abc"}));
  EXPECT_EQ(client.text("__END__"), Lines({"finish 1"}));
  EXPECT_EQ(client.ended(1), Lines({"close 1000"}));
}

TEST_F(Baseten, AnEndWithoutTextCloses) {
  client.text("{}");
  EXPECT_EQ(client.text("__END__"), Lines({"close 1000"}));
}

TEST_F(Baseten, TheFirstMessageMustBeTheSettings) {
  EXPECT_EQ(client.text("Hello"), Lines({"close 1008"}));
  EXPECT_EQ(client.text(R"({"voice": 3})"), Lines({"close 1008"}));
}

TEST_F(Baseten, AfterTheEndNothingIsLookedAt) {
  client.text("{}");
  client.text("Hi");
  EXPECT_NE(client.text("__END__"), Lines());
  EXPECT_EQ(client.text("more"), Lines());
  EXPECT_EQ(client.text("__END__"), Lines());
}

TEST_F(Baseten, AFailureCloses) {
  client.text("{}");
  client.text("Hi");
  EXPECT_EQ(client.failed(1, ErrorCode::kInvalidArgument), Lines({"close 1008"}));
  EXPECT_EQ(client.failed(1, ErrorCode::kUnavailable), Lines({"close 1013"}));
  EXPECT_EQ(client.failed(1, ErrorCode::kDeviceLost), Lines({"close 1011"}));
}

}  // namespace
}  // namespace lyre::server::test
