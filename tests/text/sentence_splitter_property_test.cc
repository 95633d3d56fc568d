#include <gtest/gtest.h>

#include <random>
#include <string>

#include "lyre/base/utf8.h"
#include "lyre/text/blank.h"
#include "lyre/text/code_point.h"
#include "lyre/text/sentence_splitter.h"
#include "lyre/text/tag.h"

namespace lyre {
namespace {

const char* const kUnits[] = {
    "a",       "Word",    "hello",  " ",          " ",      "  ",     "\n",     "\n\n",
    ". ",      ".",       "! ",     "?",          "...",    ", ",     ";",      " - ",
    "\u2014",  "<laugh>", "</x y>", "<",          ">",      "\"",     ")",      "(",
    "Mr. ",    "e.g. ",   "3.14",   "well-known", "\u00A0", "\u3000", "\x01",   "\u200B",
    "。",      "，",      "今天",   "हैं",          "।",      "؟ ",     "ไทย",    "\U0001F600",
    "e\u0301", "\u2029",  "\r\n",   "\t",         "'s",     "\u200D", "\u0085", "Z"};

std::string random_text(std::mt19937& rng) {
  std::string text;
  for (auto k = rng() % 80; k > 0; --k) {
    const char* unit = kUnits[rng() % std::size(kUnits)];
    // Now and then many of the same.
    for (auto times = rng() % 12 == 0 ? rng() % 60 : 1; times > 0; --times) text += unit;
  }
  return text;
}

// Code points without what is blank at the ends.
int64_t length(std::string_view text) {
  int64_t count = 0, kept = 0;
  bool begun = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    begun |= !is_blank_character(point.value);
    count += begun ? 1 : 0;
    if (!is_blank_character(point.value)) kept = count;
    at += point.bytes;
  }
  return kept;
}

// One word or tag: no white space that may break, but inside of tags.
bool is_indivisible(std::string_view text) {
  bool begun = false, ended = false;
  for (size_t at = 0; at < text.size();) {
    const size_t tag = tag_bytes(text, at);
    const CodePoint point = decode_utf8(text, at);
    const bool breaks = tag == 0 && is_white_space(point.value) && point.value != 0xA0;
    if (begun && ended && !breaks && !is_blank_character(point.value)) return false;
    if (!breaks && !is_blank_character(point.value)) begun = true;
    if (begun && breaks) ended = true;
    at += tag > 0 ? tag : point.bytes;
  }
  return true;
}

TEST(SentenceSplitterProperty, LosesNothingAndKeepsTheLimit) {
  for (unsigned seed = 0; seed < 3000; ++seed) {
    std::mt19937 rng(seed);
    const std::string text = random_text(rng);
    const int most = 16 + static_cast<int>(rng() % 100);
    const auto segments = split_sentences(text, most);
    ASSERT_TRUE(segments) << segments.error().message;
    size_t at = 0;
    for (const std::string_view segment : *segments) {
      ASSERT_EQ(segment.data(), text.data() + at) << "seed " << seed;  // the next view of the text
      ASSERT_FALSE(find_invalid_utf8(segment)) << "seed " << seed;
      ASSERT_TRUE(segments->size() == 1 || !is_blank(segment)) << "seed " << seed;
      ASSERT_TRUE(length(segment) <= most || is_indivisible(segment))
          << "seed " << seed << " limit " << most << " segment " << segment;
      at += segment.size();
    }
    ASSERT_EQ(at, text.size()) << "seed " << seed;
    ASSERT_EQ(segments->empty(), text.empty()) << "seed " << seed;
  }
}

TEST(SentenceSplitterProperty, NeverCutsATag) {
  for (unsigned seed = 0; seed < 1000; ++seed) {
    std::mt19937 rng(seed);
    const std::string text = random_text(rng);
    const auto segments = split_sentences(text, 16);
    ASSERT_TRUE(segments);
    size_t cut = 0;
    for (const std::string_view segment : *segments) {
      cut += segment.size();
      for (size_t tag = text.find('<'); tag < cut && tag != text.npos;) {
        const size_t bytes = tag_bytes(text, tag);
        ASSERT_FALSE(bytes > 0 && tag < cut && cut < tag + bytes)
            << "seed " << seed << ": " << text;
        tag = text.find('<', tag + std::max<size_t>(bytes, 1));
      }
    }
  }
}

// White space belongs to the segment before it.
TEST(SentenceSplitterProperty, SegmentsBeginWithWords) {
  for (unsigned seed = 0; seed < 1000; ++seed) {
    std::mt19937 rng(seed);
    const std::string text = random_text(rng);
    const auto segments = split_sentences(text, 16);
    ASSERT_TRUE(segments);
    for (size_t k = 1; k < segments->size(); ++k)
      ASSERT_FALSE(is_white_space(decode_utf8((*segments)[k], 0).value)) << "seed " << seed;
  }
}

// Time must not grow with the square of the text: a minute of work, not an hour, for a megabyte.
TEST(SentenceSplitterProperty, TakesLongTextOfOneKind) {
  for (const char* unit :
       {"! ", "\x01 ", "a", " ", "\n", "<a>", "<", "。", "(", "\" ", "Mr. ", "a, "}) {
    std::string text;
    while (text.size() < 200'000) text += unit;
    const auto segments = split_sentences(text, 100);
    ASSERT_TRUE(segments);
    EXPECT_GE(segments->size(), 1u);
  }
}

}  // namespace
}  // namespace lyre
