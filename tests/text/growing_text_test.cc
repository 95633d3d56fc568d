#include "lyre/text/growing_text.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/expect_error.h"

namespace lyre {
namespace {

using Segments = std::vector<std::string>;

/// The segments that each piece makes complete, and at last those of the flush.
std::vector<Segments> give(const std::vector<std::string_view>& pieces,
                           const TextPacing& pacing = {}) {
  GrowingText text(pacing);
  std::vector<Segments> steps;
  for (const std::string_view piece : pieces) {
    EXPECT_TRUE(text.append(piece, steps.emplace_back()).ok());
  }
  EXPECT_TRUE(text.flush(steps.emplace_back()).ok());
  EXPECT_EQ(text.pending_bytes(), 0u);
  return steps;
}

TEST(GrowingText, TheFirstSentenceIsGivenOutWithTheFirstLetterOfTheNext) {
  EXPECT_EQ(give({"Hello", " there", ".", " ", "H", "ow are you?"}),
            (std::vector<Segments>{{}, {}, {}, {}, {"Hello there. "}, {}, {"How are you?"}}));
}

TEST(GrowingText, PiecesOfAWordAreOneWord) {
  EXPECT_EQ(give({"un", "believ", "able", "! ", "Yes"}),
            (std::vector<Segments>{{}, {}, {}, {}, {"unbelievable! "}, {"Yes"}}));
}

TEST(GrowingText, WhatMayGoOnIsNotCut) {
  EXPECT_EQ(give({"Ask Dr. ", "Smith at 3.", "5 or 4. ", "\"", "perhaps\". ", "Go."}),
            (std::vector<Segments>{
                {}, {}, {}, {}, {}, {"Ask Dr. Smith at 3.5 or 4. \"perhaps\". "}, {"Go."}}));
}

TEST(GrowingText, TheFirstSegmentMayEndAtAClause) {
  EXPECT_EQ(give({"When the long rain came down at last, ", "a", "ll was green."}),
            (std::vector<Segments>{
                {}, {"When the long rain came down at last, "}, {}, {"all was green."}}));
  // Too early: "Well," alone would be spoken like a sentence.
  EXPECT_EQ(give({"Well, ", "yes."}), (std::vector<Segments>{{}, {}, {"Well, yes."}}));
}

TEST(GrowingText, LaterShortSentencesAreJoined) {
  EXPECT_EQ(
      give({"One. ", "Two. Three. Four. Five. Six. Seven. Eight. Nine. Ten. Eleven. T"}),
      (std::vector<Segments>{
          {}, {"One. ", "Two. Three. Four. Five. Six. Seven. Eight. "}, {"Nine. Ten. Eleven. T"}}));
}

TEST(GrowingText, AfterAFlushSomebodyWaitsAgain) {
  GrowingText text{TextPacing{}};
  Segments ready;
  ASSERT_TRUE(text.append("One. Two", ready).ok());
  ASSERT_TRUE(text.flush(ready).ok());
  ASSERT_TRUE(text.append("Three. F", ready).ok());
  EXPECT_EQ(ready, (Segments{"One. ", "Two", "Three. "}));
}

TEST(GrowingText, WithoutAnyMarkItIsCutBetweenWords) {
  std::string words;
  for (int i = 0; i < 30; ++i) words += "word" + std::to_string(i) + " ";
  const auto steps = give({words});
  ASSERT_FALSE(steps[0].empty());
  EXPECT_LE(steps[0][0].size(), 121u);
  EXPECT_GE(steps[0][0].size(), 100u);
  EXPECT_EQ(steps[0][0].back(), ' ');
}

TEST(GrowingText, ATagIsNeverCutHoweverItComes) {
  EXPECT_EQ(give({"Fine. <la", "ugh", "> Really. ", "Go"}),
            (std::vector<Segments>{{}, {}, {"Fine. "}, {}, {"<laugh> Really. Go"}}));
  // No tag after all.
  EXPECT_EQ(give({"Is it < 3? Y", "es."}), (std::vector<Segments>{{"Is it < 3? "}, {}, {"Yes."}}));
}

TEST(GrowingText, AnEmptyLineEndsASegment) {
  EXPECT_EQ(give({"Title\n\nThe text", " goes on"}),
            (std::vector<Segments>{{"Title\n\n"}, {}, {"The text goes on"}}));
}

TEST(GrowingText, ScriptsWithoutBlanksAreCutAtTheirMarks) {
  EXPECT_EQ(give({"你好。", "我很好"}), (std::vector<Segments>{{}, {"你好。"}, {"我很好"}}));
}

TEST(GrowingText, NumbersThatAreReadOutNeedNoLetter) {
  GrowingText text{TextPacing{}};
  Segments ready;
  std::string given;
  for (int number = 1; number <= 100; ++number) {
    const std::string piece = std::to_string(number) + ", ";
    given += piece;
    ASSERT_TRUE(text.append(piece, ready).ok());
  }
  EXPECT_GE(ready.size(), 3u);
  EXPECT_LE(text.pending_bytes(), 200u);
  ASSERT_TRUE(text.flush(ready).ok());
  std::string joined;
  for (const std::string& segment : ready) joined += segment;
  EXPECT_EQ(joined, given);
}

TEST(GrowingText, AWordWithoutEndStaysWhole) {
  GrowingText text{TextPacing{}};
  Segments ready;
  const std::string word(20'000, 'a');
  for (const char letter : word) ASSERT_TRUE(text.append({&letter, 1}, ready).ok());
  EXPECT_EQ(ready, Segments());
  ASSERT_TRUE(text.flush(ready).ok());
  EXPECT_EQ(ready, (Segments{word}));
  ASSERT_TRUE(text.append("Yes. No", ready).ok());
  EXPECT_EQ(ready.back(), "Yes. ");
}

TEST(GrowingText, BlanksAreNothingToSpeak) {
  EXPECT_EQ(give({" ", "\n\n", "\t"}), (std::vector<Segments>{{}, {}, {}, {}}));
}

TEST(GrowingText, BadUtf8IsLeftOutAndNamed) {
  GrowingText text{TextPacing{}};
  Segments ready;
  ASSERT_TRUE(text.append("Good ", ready).ok());
  EXPECT_TRUE(
      test::is_error(text.append("ba\xC3", ready), ErrorCode::kInvalidArgument, {"byte 2"}));
  ASSERT_TRUE(text.append("end.", ready).ok());
  ASSERT_TRUE(text.flush(ready).ok());
  EXPECT_EQ(ready, (Segments{"Good end."}));
}

TEST(GrowingText, HowTheTextComesChangesNothing) {
  const std::string text =
      "Good morning! It is 7.30 in the morning, and Dr. Brown is here: \"Come in,\" she says. "
      "<laugh> We waited; it was long, very long, longer than anybody who was there would have "
      "thought when it all began so many years ago in that small town by the sea. Yes. No. "
      "Perhaps.\n\nA new part (the 2. one) begins here... and ends… here – or not? "
      "你好。我很好,谢谢!El número 5. ¿Qué tal? Fin of it all";
  Segments whole;
  GrowingText at_once{TextPacing{}};
  ASSERT_TRUE(at_once.append(text, whole).ok());
  ASSERT_TRUE(at_once.flush(whole).ok());
  std::string joined;
  for (const std::string& segment : whole) joined += segment;
  EXPECT_EQ(joined, text);
  EXPECT_GT(whole.size(), 4u);

  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    GrowingText growing{TextPacing{}};
    Segments ready;
    for (size_t at = 0; at < text.size();) {
      size_t bytes = std::min<size_t>(1 + random() % (static_cast<unsigned>(round) % 20 + 1),
                                      text.size() - at);
      while (at + bytes < text.size() && (static_cast<uint8_t>(text[at + bytes]) & 0xC0) == 0x80) {
        ++bytes;
      }
      ASSERT_TRUE(growing.append(std::string_view(text).substr(at, bytes), ready).ok());
      at += bytes;
    }
    ASSERT_TRUE(growing.flush(ready).ok());
    ASSERT_EQ(ready, whole) << "round " << round;
  }
}

}  // namespace
}  // namespace lyre
