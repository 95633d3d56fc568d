#include "lyre/text/tokenizer_file.h"

#include <functional>

#include "text/tokenizer_rig.h"

namespace lyre::test {
namespace {

struct BadFile {
  const char* name;
  std::function<void(TokenizerJson&)> spoil;
  const char* message;  // a part of it
};

class BadTokenizerFile : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadTokenizerFile, IsAnErrorThatNamesTheField) {
  TokenizerJson json;
  json.pieces = {{"ab", 300}};
  json.merges = {R"("a b")"};
  ASSERT_TRUE(json.parse());
  GetParam().spoil(json);
  const Result<Tokenizer> tokenizer = json.parse();
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code, ErrorCode::kDataCorrupt);
  EXPECT_NE(tokenizer.error().message.find("t.json: "), std::string::npos);
  EXPECT_NE(tokenizer.error().message.find(GetParam().message), std::string::npos)
      << tokenizer.error().message;
}

std::string split_with(const std::string& members) {
  return R"({"type":"Sequence","pretokenizers":[{"type":"Split",)" + members +
         R"(},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})";
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadTokenizerFile,
    ::testing::Values(
        BadFile{"Normalizer", [](auto& j) { j.normalizer = R"({"type":"NFC"})"; },
                "normalizer: NFC is not supported"},
        BadFile{"Decoder", [](auto& j) { j.decoder = R"({"type":"WordPiece"})"; },
                "decoder: expected ByteLevel"},
        BadFile{"NoDecoder", [](auto& j) { j.decoder = "null"; }, "decoder: expected ByteLevel"},
        BadFile{"NoPreTokenizer", [](auto& j) { j.pre_tokenizer = "null"; },
                "pre_tokenizer: missing"},
        BadFile{"PreTokenizerType", [](auto& j) { j.pre_tokenizer = R"({"type":"Whitespace"})"; },
                "pre_tokenizer: expected ByteLevel, found Whitespace"},
        BadFile{"EmptySequence",
                [](auto& j) { j.pre_tokenizer = R"({"type":"Sequence","pretokenizers":[]})"; },
                "pre_tokenizer.pretokenizers: expected an array that is not empty"},
        BadFile{
            "NestedSequence",
            [](auto& j) {
              j.pre_tokenizer =
                  R"({"type":"Sequence","pretokenizers":[{"type":"Sequence","pretokenizers":[]}]})";
            },
            "pretokenizers[0]: expected ByteLevel, found Sequence"},
        BadFile{
            "PrefixSpace",
            [](auto& j) { j.pre_tokenizer = R"({"type":"ByteLevel","add_prefix_space":true})"; },
            "add_prefix_space: only false is supported"},
        BadFile{"SplitString",
                [](auto& j) {
                  j.pre_tokenizer = split_with(R"("pattern":{"String":" "},"behavior":"Isolated")");
                },
                "pretokenizers[0].pattern: expected {\"Regex\""},
        BadFile{"SplitBehavior",
                [](auto& j) {
                  j.pre_tokenizer = split_with(R"("pattern":{"Regex":"a"},"behavior":"Removed")");
                },
                "pretokenizers[0].behavior: only Isolated"},
        BadFile{"SplitInvert",
                [](auto& j) {
                  j.pre_tokenizer =
                      split_with(R"("pattern":{"Regex":"a"},"behavior":"Isolated","invert":true)");
                },
                "pretokenizers[0].invert"},
        BadFile{"SplitPattern",
                [](auto& j) {
                  j.pre_tokenizer = split_with(R"("pattern":{"Regex":"(a"},"behavior":"Isolated")");
                },
                "pretokenizers[0].pattern.Regex: the pattern does not compile"},
        BadFile{"ModelType", [](auto& j) { j.model_members = R"("type":"Unigram")"; },
                "model.type: expected BPE, found Unigram"},
        BadFile{"ByteFallback", [](auto& j) { j.model_members = R"("byte_fallback":true)"; },
                "model.byte_fallback: not supported"},
        BadFile{"Dropout", [](auto& j) { j.model_members = R"("dropout":0.1)"; }, "model.dropout"},
        BadFile{"Suffix", [](auto& j) { j.model_members = R"("end_of_word_suffix":"</w>")"; },
                "model.end_of_word_suffix"},
        BadFile{"IgnoreMerges", [](auto& j) { j.model_members = R"("ignore_merges":1)"; },
                "model.ignore_merges: expected true or false"},
        BadFile{"DuplicateId",
                [](auto& j) {
                  j.pieces.push_back({"zz", 300});
                },
                "model.vocab['zz']: id 300 is already that of another piece"},
        BadFile{"HugeId",
                [](auto& j) {
                  j.pieces.push_back({"zz", 2'000'000'000});
                },
                "model.vocab['zz']: expected an id"},
        BadFile{"NegativeId",
                [](auto& j) {
                  j.pieces.push_back({"zz", -1});
                },
                "model.vocab['zz']: expected an id"},
        BadFile{"MergeOfUnknownLeft", [](auto& j) { j.merges.push_back(R"("zz a")"); },
                "model.merges[1]: the piece 'zz' is not in model.vocab"},
        BadFile{"MergeOfUnknownRight", [](auto& j) { j.merges.push_back(R"(["a","zz"])"); },
                "model.merges[1]: the piece 'zz' is not in model.vocab"},
        BadFile{"MergeIntoUnknown", [](auto& j) { j.merges.push_back(R"("b a")"); },
                "model.merges[1]: the piece 'ba' is not in model.vocab"},
        BadFile{"MergeOfThree", [](auto& j) { j.merges.push_back(R"("a b c")"); },
                "model.merges[1]: expected two pieces"},
        BadFile{"MergeOfNumbers", [](auto& j) { j.merges.push_back("[1,2]"); },
                "model.merges[1]: expected two pieces"},
        BadFile{"MergeOfNothing", [](auto& j) { j.merges.push_back(R"(" ")"); },
                "model.merges[1]: expected two pieces"},
        BadFile{"AddedNoObject", [](auto& j) { j.added.push_back("7"); },
                "added_tokens[0]: expected an object"},
        BadFile{"AddedNoContent", [](auto& j) { j.added.push_back(R"({"id":400})"); },
                "added_tokens[0].content"},
        BadFile{"AddedEmptyContent", [](auto& j) { j.add_token(400, ""); },
                "added_tokens[0].content"},
        BadFile{"AddedNoId", [](auto& j) { j.added.push_back(R"({"content":"<x>"})"); },
                "added_tokens[0].id: missing"},
        BadFile{"AddedFlag", [](auto& j) { j.add_token(400, "<x>", R"(,"lstrip":1)"); },
                "added_tokens[0].lstrip: expected true or false"},
        BadFile{"AddedIdTwice",
                [](auto& j) {
                  j.add_token(400, "<x>");
                  j.add_token(400, "<y>");
                },
                "added_tokens[1].id: 400 is already that of another token"},
        BadFile{"AddedContentTwice",
                [](auto& j) {
                  j.add_token(400, "<x>");
                  j.add_token(401, "<x>");
                },
                "added_tokens[1].content: '<x>' occurs twice"},
        BadFile{"AddedIdOfAPiece", [](auto& j) { j.add_token(300, "<x>"); },
                "added_tokens[0].id: 300 is already that of another token"},
        BadFile{"AddedContentOfAPiece", [](auto& j) { j.add_token(400, "ab"); },
                "added_tokens[0].content: 'ab' has another id in model.vocab"}),
    [](const auto& test) { return test.param.name; });

TEST(TokenizerFile, AddedTokensMayRepeatARowOfTheVocabulary) {
  TokenizerJson json;
  json.pieces = {{"ab", 300}};
  json.add_token(300, "ab");
  const Result<Tokenizer> tokenizer = json.parse();
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(encode_with_specials(*tokenizer, "ab"), (std::vector<TokenId>{300}));
}

TEST(TokenizerFile, ByteLevelAloneAppliesItsOwnPattern) {
  TokenizerJson json;
  json.pre_tokenizer = R"({"type":"ByteLevel","add_prefix_space":false})";
  json.pieces = {{"ab", 300}, {"'s", 301}, {"b'", 302}};
  json.merges = {R"("b '")", R"("a b")", R"("' s")"};
  const Result<Tokenizer> tokenizer = json.parse();
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  // Without the split before 's, the first merge would take b and '.
  EXPECT_EQ(encode(*tokenizer, "ab's"), (std::vector<TokenId>{300, 301}));
}

// A vocabulary without all bytes would lose text in silence.
TEST(TokenizerFile, NeedsAPieceForEveryByte) {
  std::string text = TokenizerJson().text();
  const size_t letter = text.find(R"("A":65,)");
  ASSERT_NE(letter, std::string::npos);
  text.erase(letter, 7);
  const Result<Tokenizer> tokenizer = Tokenizer::parse(text, "t.json");
  ASSERT_FALSE(tokenizer);
  EXPECT_NE(tokenizer.error().message.find("no piece for the single byte 65"), std::string::npos)
      << tokenizer.error().message;
}

TEST(TokenizerFile, IsJson) {
  const std::string good = TokenizerJson().text();
  for (const auto& [text, message] : std::initializer_list<std::pair<std::string, const char*>>{
           {"", "not JSON at byte 0"},
           {"{", "not JSON"},
           {good.substr(0, good.size() / 2), "not JSON"},
           {good + "x", "not JSON at byte "},
           {std::string(100'000, '['), "not JSON"},  // deep
           {"{\"model\":\"\xFF\"}", "not JSON"},
           {"[]", "expected an object"},
           {"{}", "model: expected an object"},
           {R"({"model":[]})", "model: expected an object"},
           {R"({"model":{}})", "decoder: expected ByteLevel"}}) {
    const Result<Tokenizer> tokenizer = Tokenizer::parse(text, "t.json");
    ASSERT_FALSE(tokenizer);
    EXPECT_EQ(tokenizer.error().code, ErrorCode::kDataCorrupt);
    EXPECT_NE(tokenizer.error().message.find(message), std::string::npos)
        << tokenizer.error().message;
  }
}

TEST(TokenizerFile, LacksNeitherVocabularyNorMerges) {
  for (const auto& [member, message] : {std::pair{"vocab", "model.vocab: expected an object"},
                                        {"merges", "model.merges: expected an array"}}) {
    std::string text = TokenizerJson().text();
    text.replace(text.find(std::string("\"") + member + "\""), std::string(member).size() + 2,
                 "\"x\"");
    const Result<Tokenizer> tokenizer = Tokenizer::parse(text, "t.json");
    ASSERT_FALSE(tokenizer);
    EXPECT_NE(tokenizer.error().message.find(message), std::string::npos)
        << tokenizer.error().message;
  }
}

}  // namespace
}  // namespace lyre::test
