#include "lyre/text/sentence_splitter.h"

#include <gtest/gtest.h>

#include <string>

namespace lyre {
namespace {

using Segments = std::vector<std::string>;

Segments split(std::string_view text, int most) {
  const Result<std::vector<std::string_view>> segments = split_sentences(text, most);
  EXPECT_TRUE(segments) << segments.error().message;
  return {segments->begin(), segments->end()};
}

TEST(SentenceSplitter, ShortTextIsOneSegment) {
  EXPECT_EQ(split("Hello. How are you? Fine!", 240), (Segments{"Hello. How are you? Fine!"}));
  EXPECT_EQ(split("", 240), Segments{});
  EXPECT_EQ(split(" \n ", 240), (Segments{" \n "}));
}

TEST(SentenceSplitter, CutsAtSentenceEndsAndFillsSegments) {
  EXPECT_EQ(split("One two three. Four five six. Seven eight nine. Ten.", 30),
            (Segments{"One two three. Four five six. ", "Seven eight nine. Ten."}));
  // The limit is at least 16.
  EXPECT_EQ(split("One two three. Four five six.", 1),
            (Segments{"One two three. ", "Four five six."}));
}

TEST(SentenceSplitter, KnowsAbbreviationsInitialsAndNumbers) {
  EXPECT_EQ(split("Mr. Smith and Dr. Brown left. They met J. R. Tolkien.", 30),
            (Segments{"Mr. Smith and Dr. Brown left. ", "They met J. R. Tolkien."}));
  EXPECT_EQ(split("It costs 3.14 and e.g. this too. Good.", 32),
            (Segments{"It costs 3.14 and e.g. this too. ", "Good."}));
  // "I." and "no." end sentences.
  EXPECT_EQ(split("So did I. Then all went.", 16), (Segments{"So did I. ", "Then all went."}));
  EXPECT_EQ(split("I say no. Then all went.", 16), (Segments{"I say no. ", "Then all went."}));
}

TEST(SentenceSplitter, KeepsQuotesAndRunsOfMarksTogether) {
  EXPECT_EQ(split("\"Really?\" he asked. \"Yes!\" She left.", 20),
            (Segments{"\"Really?\" he asked. ", "\"Yes!\" She left."}));
  EXPECT_EQ(split("Stop it now!! Go away... Now.", 16),
            (Segments{"Stop it now!! ", "Go away... Now."}));
}

TEST(SentenceSplitter, NewlinesEndSentencesAndEmptyLinesEndSegments) {
  EXPECT_EQ(split("Chapter One\nIt was dark", 16), (Segments{"Chapter One\n", "It was dark"}));
  EXPECT_EQ(split("Chapter One\nIt was dark", 40), (Segments{"Chapter One\nIt was dark"}));
  EXPECT_EQ(split("One.\n\nTwo.\r\n \r\nThree.\u2029Four.\n", 40),
            (Segments{"One.\n\n", "Two.\r\n \r\n", "Three.\u2029", "Four.\n"}));
}

// A tag at the start of a sentence was destroyed by splitters (Orpheus-TTS 15).
TEST(SentenceSplitter, TagsStayWholeAndWithTheirSentence) {
  EXPECT_EQ(split("That was good. <laugh> And this is too. <sigh> Oh well.", 26),
            (Segments{"That was good. ", "<laugh> And this is too. ", "<sigh> Oh well."}));
  EXPECT_EQ(split("Hello there.<laugh> World is good.", 24),
            (Segments{"Hello there.", "<laugh> World is good."}));
  EXPECT_EQ(split("<break time='1 s' x='2 s' y='3 s'/>", 16),
            (Segments{"<break time='1 s' x='2 s' y='3 s'/>"}));
  EXPECT_EQ(split("ok now<한숨 한숨 한숨 한숨 한숨>go on", 16),
            (Segments{"ok now", "<한숨 한숨 한숨 한숨 한숨>", "go on"}));
}

TEST(SentenceSplitter, PrefersClausesThenWords) {
  EXPECT_EQ(split("When the sun went down, all the birds were silent", 40),
            (Segments{"When the sun went down, ", "all the birds were silent"}));
  EXPECT_EQ(split("The quick brown fox jumps over the lazy dog", 30),
            (Segments{"The quick brown fox ", "jumps over the lazy dog"}));
  // No clause border within a number, and a dash needs blanks.
  EXPECT_EQ(split("about 1,000,000 well-known things and more of it", 30),
            (Segments{"about 1,000,000 well-known ", "things and more of it"}));
  EXPECT_EQ(split("He went on - as always - to the very end of it", 30),
            (Segments{"He went on - as always - ", "to the very end of it"}));
}

TEST(SentenceSplitter, OtherScripts) {
  EXPECT_EQ(split("今天天气很好，我们去公园散步。你想一起去吗？当然可以！", 18),
            (Segments{"今天天气很好，我们去公园散步。", "你想一起去吗？当然可以！"}));
  EXPECT_EQ(split("यह एक परीक्षण है। क्या आप ठीक हैं? मैं ठीक हूँ।", 20),
            (Segments{"यह एक परीक्षण है। ", "क्या आप ठीक हैं? ", "मैं ठीक हूँ।"}));
  EXPECT_EQ(split("هذا اختبار طويل بعض الشيء، وفيه فواصل؛ هل تسمعني؟ نعم.", 30),
            (Segments{"هذا اختبار طويل بعض الشيء، ", "وفيه فواصل؛ هل تسمعني؟ نعم."}));
  // Thai writes no blanks between words: cut between words nevertheless.
  for (const std::string& segment : split("ประเทศไทยเป็นประเทศที่มีอาหารอร่อย", 16))
    EXPECT_LE(segment.size(), 16u * 3);
  EXPECT_EQ(split("これはとても長い文章なので途中で切られます", 16).size(), 2u);
}

TEST(SentenceSplitter, LongWordsStayWhole) {
  const std::string word(100, 'a');
  EXPECT_EQ(split("Ok " + word + " ok then", 20), (Segments{"Ok ", word + " ", "ok then"}));
  EXPECT_EQ(split("10\u00A0000\u00A0000\u00A0000\u00A0000\u00A0000 km", 16),
            (Segments{"10\u00A0000\u00A0000\u00A0000\u00A0000\u00A0000 ", "km"}));
}

// Baseten's chunker never ended on this (peer fault B10).
TEST(SentenceSplitter, EndsOnLongTextWithOneComma) {
  std::string text = "Well then,";
  while (text.size() < 424) text += " word";
  text.resize(429, 'x');
  const Segments segments = split(text, 280);
  std::string whole;
  for (const std::string& segment : segments) whole += segment;
  EXPECT_EQ(whole, text);
  EXPECT_EQ(segments.size(), 2u);
}

TEST(SentenceSplitter, BlankTailsJoinTheirNeighbours) {
  EXPECT_EQ(split("\x01\x02 Hello there you all.\n\n\x01\n\nBye now.\n\n \u200B\n", 22),
            (Segments{"\x01\x02 Hello there you all.\n\n\x01\n\n", "Bye now.\n\n \u200B\n"}));
}

TEST(SentenceSplitter, RefusesInvalidUtf8) {
  const auto segments = split_sentences("Hello \xC3", 100);
  ASSERT_FALSE(segments);
  EXPECT_EQ(segments.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(segments.error().message.find("byte 6"), std::string::npos);
}

TEST(IsBlank, SeesWhatCanBeSpoken) {
  for (const char* text : {"", " ", "\n\t\u00A0\u3000", "\x01\x1F\x7F", "\u200B\u200D\uFEFF\u202E"})
    EXPECT_TRUE(is_blank(text)) << text;
  for (const char* text : {"a", " .", "\u0301", "\U0001F600", "<laugh>", "1"})
    EXPECT_FALSE(is_blank(text)) << text;
}

}  // namespace
}  // namespace lyre
