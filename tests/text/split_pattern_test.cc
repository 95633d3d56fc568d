#include "lyre/text/split_pattern.h"

#include "text/tokenizer_rig.h"

namespace lyre::test {
namespace {

std::vector<std::string> words(std::string_view pattern, std::string_view text) {
  const Result<SplitPattern> split = SplitPattern::compile(pattern);
  EXPECT_TRUE(split) << split.error().message;
  std::vector<size_t> ends;
  const Status status = split->split(text, 0, text.size(), ends);
  EXPECT_TRUE(status) << status.error().message;
  std::vector<std::string> out;
  size_t begin = 0;
  for (const size_t end : ends) {
    out.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  EXPECT_EQ(begin, text.size());
  return out;
}

using Words = std::vector<std::string>;

TEST(SplitPattern, KeepsMatchesAndWhatLiesBetween) {
  EXPECT_EQ(words("b+", "abbcb"), (Words{"a", "bb", "c", "b"}));
  EXPECT_EQ(words("x", "abc"), (Words{"abc"}));
  EXPECT_EQ(words("x", ""), Words{});
}

TEST(SplitPattern, EmptyMatchesAreBorders) {
  EXPECT_EQ(words("(?=b)", "abcb"), (Words{"a", "bc", "b"}));
  EXPECT_EQ(words("", "a\u00E9b"), (Words{"a", "\u00E9", "b"}));
}

TEST(SplitPattern, SeesOnlyItsOwnPiece) {
  const Result<SplitPattern> split = SplitPattern::compile("(?<=a)b|c(?=d)");
  ASSERT_TRUE(split);
  std::vector<size_t> ends;
  ASSERT_TRUE(split->split("abcd", 1, 3, ends));
  EXPECT_EQ(ends, (std::vector<size_t>{3}));
}

// Oniguruma folds the long s and the Kelvin sign too.
TEST(SplitPattern, IgnoresCaseAsTheReference) {
  EXPECT_EQ(words("(?i:'s|'k)", "a'\u017F'\u212A'S"), (Words{"a", "'\u017F", "'\u212A", "'S"}));
}

// U+0085 is white space, U+180E is not any more.
TEST(SplitPattern, WhiteSpaceIsThatOfUnicode) {
  for (const char* pattern : {R"(\S+)", R"([^\s]+)", R"([\S]+)"})
    EXPECT_EQ(words(pattern, "a\u180Eb\u0085\u3000c"), (Words{"a\u180Eb", "\u0085\u3000", "c"}));
}

TEST(SplitPattern, RefusesWhatTheTwoEnginesReadDifferently) {
  for (const char* pattern :
       {R"(\h)", R"(\w+)",  R"(\b)",  R"(\A)",  R"(\v)",       R"(\Q)", R"(\K)", R"(\1)",
        "^a",    "a$",      "[a[b]]", "[a&&b]", "[[:alpha:]]", "[]a]",  "[^]a]", "a{2}+",
        "a{,2}", "(*UTF)a", "(?m:a)", "(?R)",   "(?<n>a)",     "a\\"}) {
    const Result<SplitPattern> split = SplitPattern::compile(pattern);
    ASSERT_FALSE(split) << pattern;
    EXPECT_EQ(split.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(split.error().message.find("unsupported"), std::string::npos)
        << split.error().message;
  }
  for (const char* pattern : {"(a", "[a", "a**", "\\p{Nonsense}", "\xFF"})
    EXPECT_FALSE(SplitPattern::compile(pattern)) << pattern;
}

TEST(SplitPattern, CompilesThePatternsOfPublishedModels) {
  for (
      const char* pattern :
      {// Llama 3, Qwen 2, o200k
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}) {
    EXPECT_TRUE(SplitPattern::compile(pattern)) << pattern;
  }
}

// A hostile file: the pattern needs exponential time. An error comes back, and soon.
TEST(SplitPattern, BoundsBacktracking) {
  const Result<SplitPattern> split = SplitPattern::compile("(?:a+)+b");
  ASSERT_TRUE(split);
  std::vector<size_t> ends;
  const Status status = split->split(std::string(200, 'a') + "cb", 0, 202, ends);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(status.error().message.find("byte 0"), std::string::npos) << status.error().message;
}

// Every character of Unicode is the same to us and to the reference, but for those that the
// installed PCRE2 does not know yet.
TEST(SplitPattern, ClassesAreThoseOfTheReference) {
  std::string text;
  std::vector<std::pair<size_t, char32_t>> at;  // where each character lies
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    at.emplace_back(text.size(), c);
    append_utf8(c, text);
    text += '\x01';  // of no class: matches are apart
  }
  const auto matched = [&](const char* pattern) {
    const Result<SplitPattern> split = SplitPattern::compile(pattern);
    EXPECT_TRUE(split) << split.error().message;
    std::vector<size_t> ends;
    EXPECT_TRUE(split->split(text, 0, text.size(), ends));
    std::vector<bool> is_end(text.size() + 1, false);
    for (const size_t end : ends) is_end[end] = true;
    return is_end;
  };
  const std::vector<bool> letter = matched("\\p{L}"), number = matched("\\p{N}"),
                          space = matched("\\s"), unknown = matched("\\p{Cn}");
  const boost::json::value classes = read_json(source_dir() / "tests/text/data/split_classes.json");
  size_t change = 0;
  int younger = 0;
  for (const auto& [byte, c] : at) {
    const auto& changes = classes.as_array();
    while (change + 1 < changes.size() &&
           changes[change + 1].at(0).as_int64() <= static_cast<int64_t>(c))
      ++change;
    const char want = changes[change].at(1).as_string()[0];
    const size_t end = byte + decode_utf8(text, byte).bytes;
    const char found = letter[end] ? 'L' : number[end] ? 'N' : space[end] ? 'S' : 'O';
    if (found == want) continue;
    EXPECT_TRUE(unknown[end]) << "U+" << std::hex << static_cast<uint32_t>(c) << " " << found
                              << want;
    ++younger;
  }
  // Unicode 15 and 16 added 9,392 letters and digits to what PCRE2 10.42 knows.
  EXPECT_LE(younger, 9392);
}

}  // namespace
}  // namespace lyre::test
