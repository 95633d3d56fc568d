#include "lyre/text/tokenizer.h"

#include <thread>

#include "text/tokenizer_rig.h"

namespace lyre::test {
namespace {

using Ids = std::vector<TokenId>;

// "a b" of JSON, or ["a","b"]: both spellings of a merge.
const char* const kMerges[] = {R"("a b")", R"(["ab","c"])"};

Tokenizer abc(std::string_view model_members = R"("type":"BPE")") {
  TokenizerJson json;
  json.model_members = model_members;
  json.pieces = {{"ab", 300}, {"abc", 301}, {"\u0120a", 302}};
  json.merges.assign(std::begin(kMerges), std::end(kMerges));
  Result<Tokenizer> tokenizer = json.parse();
  if (!tokenizer) throw std::runtime_error(tokenizer.error().message);
  return *std::move(tokenizer);
}

TEST(Tokenizer, MergesPairsOfBothSpellings) {
  EXPECT_EQ(encode(abc(), "abc"), (Ids{301}));
  EXPECT_EQ(encode(abc(), "ababc"), (Ids{300, 301}));
  EXPECT_EQ(encode(abc(), "bca"), (Ids{'b', 'c', 'a'}));
  EXPECT_EQ(encode(abc(), ""), Ids{});
}

TEST(Tokenizer, AppendsToTheIds) {
  const Tokenizer tokenizer = abc();
  Ids ids = {7};
  ASSERT_TRUE(tokenizer.encode("ab", ids));
  EXPECT_EQ(ids, (Ids{7, 300}));
}

TEST(Tokenizer, IgnoresMergesWhereTheFileSaysSo) {
  // " a" is a piece that no merge makes.
  EXPECT_EQ(encode(abc(R"("type":"BPE","ignore_merges":true)"), " a"), (Ids{302}));
  EXPECT_EQ(encode(abc(R"("type":"BPE","ignore_merges":false)"), " a"), (Ids{' ', 'a'}));
}

TEST(Tokenizer, FindsByExactContent) {
  const Tokenizer tokenizer = load_tokenizer(demo_voice() / "lm/tokenizer.json");
  EXPECT_EQ(tokenizer.find("<|begin_of_text|>"), 512);
  EXPECT_EQ(tokenizer.find("<custom_token_10>"), *tokenizer.find("<custom_token_0>") + 10);
  EXPECT_EQ(tokenizer.find("<custom_token_99999>"), std::nullopt);
  EXPECT_EQ(tokenizer.find("\u0120the"), encode(tokenizer, " the")[0]);
  EXPECT_EQ(tokenizer.find(" the"), std::nullopt);  // pieces are spelled in byte letters
  EXPECT_EQ(tokenizer.find("\xFF"), std::nullopt);
  EXPECT_EQ(tokenizer.find(""), std::nullopt);
  EXPECT_EQ(tokenizer.vocabulary_size(), 7696);
}

TEST(Tokenizer, DecodesUnknownIdsToNothing) {
  EXPECT_EQ(abc().decode(Ids{-1, 'a', 299, 301, 1 << 30}), "aabc");
}

// Peer fault B9: user text such as <custom_token_2> must not become a control token. Real Orpheus
// files do not mark their custom tokens as special, so the flag cannot decide it.
TEST(Tokenizer, TakesAddedTokensInTextForTextWhateverTheirFlags) {
  for (const char* flags : {R"(,"special":true)", R"(,"special":false,"normalized":true)", ""}) {
    TokenizerJson json;
    json.add_token(400, "<x>", flags);
    const Result<Tokenizer> tokenizer = json.parse();
    ASSERT_TRUE(tokenizer);
    EXPECT_EQ(encode(*tokenizer, "a<x>"), (Ids{'a', '<', 'x', '>'}));
    EXPECT_EQ(encode_with_specials(*tokenizer, "a<x>"), (Ids{'a', 400}));
    EXPECT_EQ(tokenizer->decode(Ids{'a', 400}), "a<x>");
  }
}

TEST(Tokenizer, CutsOutTheLeftmostThenLongestAddedToken) {
  TokenizerJson json;
  json.add_token(400, "<x>");
  json.add_token(401, "<x><y>");
  json.add_token(402, "y><");
  const Result<Tokenizer> tokenizer = json.parse();
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode_with_specials(*tokenizer, "<x><x><y><x>"), (Ids{400, 401, 400}));
}

// The reference searches the text for the others first.
TEST(Tokenizer, NormalizedAddedTokensComeSecond) {
  TokenizerJson json;
  json.add_token(400, "abc", R"(,"normalized":true)");
  json.add_token(401, "cd", R"(,"normalized":false)");
  const Result<Tokenizer> tokenizer = json.parse();
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode_with_specials(*tokenizer, "abcd"), (Ids{'a', 'b', 401}));
  EXPECT_EQ(encode_with_specials(*tokenizer, "abc"), (Ids{400}));
}

TEST(Tokenizer, AddedTokensStripWhiteSpaceAndStandAlone) {
  TokenizerJson json;
  json.add_token(400, "<l>", R"(,"lstrip":true)");
  json.add_token(401, "<r>", R"(,"rstrip":true)");
  json.add_token(402, "ww", R"(,"single_word":true)");
  const Result<Tokenizer> tokenizer = json.parse();
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode_with_specials(*tokenizer, "a \u00A0<l> b"), (Ids{'a', 400, ' ', 'b'}));
  EXPECT_EQ(encode_with_specials(*tokenizer, "a <r> \n b"), (Ids{'a', ' ', 401, 'b'}));
  EXPECT_EQ(encode_with_specials(*tokenizer, "<r>  <l>"), (Ids{401, 400}));
  EXPECT_EQ(encode_with_specials(*tokenizer, "ww-ww aww ww1 ww"),
            (Ids{402, '-', 402, ' ', 'a', 'w', 'w', ' ', 'w', 'w', '1', ' ', 402}));
}

TEST(Tokenizer, RefusesInvalidUtf8WithTheOffset) {
  const Tokenizer tokenizer = abc();
  for (const auto& [text, offset] : std::initializer_list<std::pair<std::string, const char*>>{
           {"abc\xFF", "byte 3"},
           {"\xC0\x80", "byte 0"},             // overlong
           {"a\xED\xA0\x80", "byte 1"},        // surrogate
           {"ab\xF4\x90\x80\x80", "byte 2"},   // beyond U+10FFFF
           {"12345678\xE2\x82", "byte 8"}}) {  // cut short
    Ids ids = {1};
    for (const Status& status :
         {tokenizer.encode(text, ids), tokenizer.encode_with_specials(text, ids)}) {
      ASSERT_FALSE(status);
      EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
      EXPECT_NE(status.error().message.find(offset), std::string::npos) << status.error().message;
    }
    EXPECT_EQ(ids, Ids{1});
  }
}

TEST(Tokenizer, NamesTheFileThatCannotBeRead) {
  const Result<Tokenizer> tokenizer = Tokenizer::load("no/such/tokenizer.json");
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code, ErrorCode::kNotFound);
  EXPECT_NE(tokenizer.error().message.find("no/such/tokenizer.json"), std::string::npos);
  EXPECT_FALSE(Tokenizer::load(source_dir()));  // a folder
}

// Words of half a megabyte: neither the pattern nor the merges may blow up on them.
TEST(Tokenizer, TakesLongWordsOfOneKind) {
  const Tokenizer tokenizer = load_tokenizer(demo_voice() / "lm/tokenizer.json");
  for (const std::string_view unit :
       {" ", "a", "1", "'", "\n", "!", "\u0301", "\U0001F600", "th"}) {
    std::string text;
    while (text.size() < 500'000) text += unit;
    for (const std::string& whole : {text, text + "x"})
      EXPECT_TRUE(tokenizer.decode(encode(tokenizer, whole)) == whole) << unit;
  }
}

TEST(Tokenizer, ServesAllThreadsAtOnce) {
  const Tokenizer tokenizer = load_tokenizer(demo_voice() / "lm/tokenizer.json");
  const std::string text = "It's the same, <laugh> for all: 3.14 \u00E9\u4ECA!";
  const Ids want = encode(tokenizer, text);
  std::vector<Ids> found(4);
  {
    std::vector<std::jthread> threads;
    for (Ids& ids : found) {
      threads.emplace_back([&] {
        for (int turn = 0; turn < 50; ++turn) {
          ids.clear();
          if (!tokenizer.encode(text, ids) || tokenizer.decode(ids) != text) ids.clear();
        }
      });
    }
  }
  for (const Ids& ids : found) EXPECT_EQ(ids, want);
}

}  // namespace
}  // namespace lyre::test
