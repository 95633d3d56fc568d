#include "lyre/text/speakable_text.h"

#include <gtest/gtest.h>

namespace lyre {
namespace {

TEST(SpeakableText, LeavesOrdinaryTextAlone) {
  for (const char* text :
       {"Hello, world!", "Mr. Smith paid $3.14 (or so) -- \"really?\" he asked.", "Wait... what?!",
        "<laugh> That's funny. <sigh>", "a well-known 1,000-fold e-mail@example.com #1",
        "''quoted'' ((nested)) a:b;c", "今天天气很好，我们去公园。", "क्या आप ठीक हैं? हाँ।",
        "مرحبا، كيف حالك؟",
        "\u0645\u06CC\u200C\u062E\u0648\u0627\u0647\u0645",  // a Persian word with its non-joiner
        "\u0915\u094D\u200D\u0937",                          // Devanagari with a joiner
        "na\u00EFve cafe\u0301", "---", "C++", "", "1 < 2 and 3 > 2"}) {
    EXPECT_EQ(speakable_text(text), text);
  }
}

TEST(SpeakableText, MakesOneBlankOfWhiteSpace) {
  EXPECT_EQ(speakable_text("  a \t\r\n b\u00A0\u3000c\n\n"), "a b c");
  EXPECT_EQ(speakable_text("a \u200B b"), "a b");
  EXPECT_EQ(speakable_text("a \n<laugh>  \n b"), "a <laugh> b");
  EXPECT_EQ(speakable_text("\n <laugh> \n"), "<laugh>");
  EXPECT_EQ(speakable_text(" \n\u2029 "), "");
}

TEST(SpeakableText, DropsWhatIsInvisible) {
  EXPECT_EQ(speakable_text(std::string("a\0b\x07\x1B[0m", 8)), "ab[0m");
  EXPECT_EQ(speakable_text("\uFEFFa\u200Bb\u00ADc\u202Ed\u2060"), "abcd");
  EXPECT_EQ(speakable_text("a\u200C b\u200D"), "a b");  // joiners that join nothing
  EXPECT_EQ(speakable_text("\u200D"), "");
}

// "!!" and odd punctuation break generation (Orpheus-FastAPI 79).
TEST(SpeakableText, ShortensRunsOfPunctuation) {
  EXPECT_EQ(speakable_text("Wait!!! What??"), "Wait! What?");
  EXPECT_EQ(speakable_text("What?!?!?! No!?"), "What?! No!?");
  EXPECT_EQ(speakable_text("well....... so.. yes..."), "well... so.. yes...");
  EXPECT_EQ(speakable_text("a,,b;;c::d"), "a,b;c:d");
  EXPECT_EQ(speakable_text("好！！！吗？？？，，"), "好！吗？，");
  EXPECT_EQ(speakable_text("हाँ।।"), "हाँ।");
  EXPECT_EQ(speakable_text("a ---------- b ***** c"), "a - b * c");
  EXPECT_EQ(speakable_text("aaaa 1111"), "aaaa 1111");
}

TEST(SpeakableText, KeepsTagsAsTheyAre) {
  EXPECT_EQ(speakable_text("<a!!b>  <c  d>"), "<a!!b> <c  d>");
  EXPECT_EQ(speakable_text("!<laugh>!"), "!<laugh>!");
}

TEST(SpeakableText, IsTidyAfterOnce) {
  for (const char* text : {"  a!!!? <laugh>..... \u200B b ----- c", "?!?! \x01 !!", "<x>  <y>"})
    EXPECT_EQ(speakable_text(speakable_text(text)), speakable_text(text));
}

}  // namespace
}  // namespace lyre
