#include "text/tokenizer_rig.h"

namespace lyre::test {
namespace {

struct Golden {
  const char* name;
  std::filesystem::path tokenizer;
  std::filesystem::path cases;
  size_t count;
};

class TokenizerGolden : public ::testing::TestWithParam<Golden> {};

TEST_P(TokenizerGolden, EqualsTheReference) {
  const Tokenizer tokenizer = load_tokenizer(source_dir() / GetParam().tokenizer);
  const boost::json::value cases = read_json(source_dir() / GetParam().cases);
  ASSERT_EQ(cases.as_array().size(), GetParam().count);
  for (const boost::json::value& one : cases.as_array()) {
    const std::string text = text_of(one.at("text"));
    const std::vector<TokenId> as_text = encode(tokenizer, text);
    EXPECT_EQ(as_text, ids_of(one.at("ids_specials_as_text"))) << text;
    EXPECT_EQ(encode_with_specials(tokenizer, text), ids_of(one.at("ids"))) << text;
    EXPECT_EQ(tokenizer.decode(as_text), text_of(one.at("decoded"))) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, TokenizerGolden,
                         ::testing::Values(Golden{"demo", "voices/demo/lm/tokenizer.json",
                                                  "tests/golden/demo/tokenizer_cases.json", 335},
                                           Golden{"tiny",
                                                  "tests/golden/tiny_voice/lm/tokenizer.json",
                                                  "tests/golden/tiny/tokenizer_cases.json", 335},
                                           Golden{"random", "voices/demo/lm/tokenizer.json",
                                                  "tests/text/data/random_cases.json", 400}),
                         [](const auto& test) { return test.param.name; });

// Decoding any prefix of the ids cuts characters in two: U+FFFD stands for what is no UTF-8 yet,
// and the whole characters before it are there.
TEST(TokenizerGolden, DecodesHalfCharactersAsTheReplacementCharacter) {
  const Tokenizer tokenizer = load_tokenizer(demo_voice() / "lm/tokenizer.json");
  const std::vector<TokenId> ids = encode(tokenizer, "\u20AC");  // three bytes, three tokens
  ASSERT_EQ(ids.size(), 3u);
  EXPECT_EQ(tokenizer.decode(std::span(ids).first(2)), "\uFFFD");
  EXPECT_EQ(tokenizer.decode(std::span(ids).last(2)), "\uFFFD\uFFFD");
  EXPECT_EQ(tokenizer.decode(ids), "\u20AC");
}

}  // namespace
}  // namespace lyre::test
