#include <algorithm>
#include <array>
#include <functional>
#include <tuple>

#include "lyre/text/prompt_family.h"
#include "text/published_vocabulary.h"

namespace lyre::test {
namespace {

using Ids = std::vector<TokenId>;

constexpr int kCodebookSize = 4096;
constexpr TokenId kTextRows = 128000;

const Tokenizer& vocabulary() {
  static const Tokenizer tokenizer = published_vocabulary();
  return tokenizer;
}
const Tokenizer& veena_vocabulary() {
  static const Tokenizer tokenizer = published_vocabulary(/*veena=*/true);
  return tokenizer;
}

PromptFamily builtin(const std::string& name) { return *load_family(name); }

Result<PromptBuilder> bind(const PromptFamily& family, const Tokenizer& tokenizer = vocabulary()) {
  return PromptBuilder::bind(family, tokenizer, kCodebookSize);
}

Ids build(const PromptBuilder& builder, std::string_view voice, std::string_view text,
          std::string_view description = "") {
  Ids ids;
  const Status status = builder.build(voice, text, description, ids);
  EXPECT_TRUE(status) << status.error().message;
  return ids;
}

Ids joined(const Ids& prefix, std::string_view text, const Ids& suffix) {
  Ids ids = prefix;
  const Ids middle = encode(vocabulary(), text);
  ids.insert(ids.end(), middle.begin(), middle.end());
  ids.insert(ids.end(), suffix.begin(), suffix.end());
  return ids;
}

// The published id sequences, one by one.
TEST(PromptBuilder, Orpheus) {
  const Result<PromptBuilder> builder = bind(builtin("orpheus"));
  ASSERT_TRUE(builder) << builder.error().message;
  // tara is one piece here, and so is " H": the blank of the template and the user's letter.
  EXPECT_EQ(build(*builder, "tara", "Hi"),
            (Ids{128259, 128000, 258, ':', 256, 'i', 128009, 128260, 128261, 128257}));
  EXPECT_EQ(builder->layout().stop_ids, Ids{128258});
  EXPECT_EQ(builder->layout().first_code, 128266);
  EXPECT_EQ(builder->layout().slot_first(6), 128266 + 6 * 4096);
  EXPECT_EQ(builder->layout().end(), 156938);
}

TEST(PromptBuilder, OrpheusPretrained) {
  const Result<PromptBuilder> builder = bind(builtin("orpheus-pretrained"));
  ASSERT_TRUE(builder) << builder.error().message;
  EXPECT_EQ(build(*builder, "", "Hi"),
            (Ids{128259, 128000, 'H', 'i', 128009, 128260, 128261, 128257}));
}

TEST(PromptBuilder, OrpheusMultilingual) {
  const Result<PromptBuilder> builder = bind(builtin("orpheus-multilingual"));
  ASSERT_TRUE(builder) << builder.error().message;
  EXPECT_EQ(build(*builder, "长乐", "你好"),
            joined({128259, 128000}, "长乐: 你好", {128009, 128260, 128261, 128257}));
}

TEST(PromptBuilder, Maya1) {
  const Result<PromptBuilder> builder = bind(builtin("maya1"));
  ASSERT_TRUE(builder) << builder.error().message;
  EXPECT_EQ(build(*builder, "", "Hi <laugh_harder>", "A calm voice."),
            joined({128259, 128000}, "<description=\"A calm voice.\"> Hi <laugh_harder>",
                   {128009, 128260, 128261, 128257}));
  EXPECT_EQ(builder->layout().stop_ids, Ids{128258});
  // A voice is a name for a description; none is the default voice.
  const PromptFamily family = builtin("maya1");
  const Ids of_woman = build(*builder, "woman", "Hi");
  EXPECT_EQ(of_woman, build(*builder, "", "Hi", family.voices[1].description));
  EXPECT_EQ(build(*builder, "", "Hi"), build(*builder, "man", "Hi"));
  EXPECT_NE(build(*builder, "", "Hi"), of_woman);
  Ids ids;
  const Status unknown = builder->build("nobody", "Hi", "", ids);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(ids.empty());
}

TEST(PromptBuilder, Veena) {
  const Result<PromptBuilder> builder = bind(builtin("veena"), veena_vocabulary());
  ASSERT_TRUE(builder) << builder.error().message;
  // No BOS, no 128009; the speaker is a token; " H" is one piece over the border.
  EXPECT_EQ(build(*builder, "agastya", "Hi"),
            (Ids{128259, 156941, 256, 'i', 128260, 128261, 128257}));
  EXPECT_EQ(builder->layout().stop_ids, (Ids{128258, 128262}));
}

TEST(PromptBuilder, Svara) {
  const Result<PromptBuilder> builder = bind(builtin("svara"));
  ASSERT_TRUE(builder) << builder.error().message;
  EXPECT_EQ(
      build(*builder, "Hindi (Female)", "नमस्ते"),
      joined({128000, 128259, 156939}, "Hindi (Female): नमस्ते", {128260, 128009, 128261, 128257}));
}

TEST(PromptBuilder, TakesTheDefaultVoiceForNone) {
  const Result<PromptBuilder> builder = bind(builtin("orpheus"));
  EXPECT_EQ(build(*builder, "", "Hi"), build(*builder, "tara", "Hi"));
}

TEST(PromptBuilder, Appends) {
  const Result<PromptBuilder> builder = bind(builtin("orpheus"));
  Ids ids = {1, 2};
  ASSERT_TRUE(builder->build("leo", "Hi", "", ids));
  EXPECT_EQ(ids[0], 1);
  EXPECT_EQ(ids[2], 128259);
}

// Peer fault B9: a second BOS, and control tokens out of user text.
TEST(PromptBuilder, NoUserTextBecomesAControlToken) {
  const char* const hostile[] = {"<custom_token_2>", "<|eot_id|>",  "<|begin_of_text|>",
                                 "<|audio|>",        "<spk_kavya>", "x> <spk_vinaya> <spk_x"};
  for (const char* name : {"orpheus", "maya1", "veena", "svara"}) {
    const Tokenizer& tokenizer = veena_vocabulary();
    const Result<PromptBuilder> builder = bind(builtin(name), tokenizer);
    ASSERT_TRUE(builder) << builder.error().message;
    const Ids harmless = build(*builder, "kavya", "Hi", "d");
    const auto specials = [](const Ids& ids) {
      return std::count_if(ids.begin(), ids.end(), [](TokenId id) { return id >= kTextRows; });
    };
    for (const char* text : hostile) {
      EXPECT_EQ(specials(build(*builder, "kavya", text, "d")), specials(harmless)) << name << text;
      EXPECT_EQ(specials(build(*builder, "kavya", "Hi", text)), specials(harmless)) << name << text;
      // Unknown to veena, so that its speaker token is missing.
      EXPECT_LE(specials(build(*builder, text, "Hi", "d")), specials(harmless)) << name << text;
    }
  }
}

// Neither can text complete a token that the template begins, nor the other way round.
TEST(PromptBuilder, TokensDoNotReachFromTheTemplateIntoTheText) {
  PromptFamily family = builtin("orpheus");
  family.text_template = "<custom_{text}_2>";
  const Result<PromptBuilder> builder = bind(family);
  ASSERT_TRUE(builder) << builder.error().message;
  const Ids ids = build(*builder, "", "token");
  EXPECT_EQ(ids, joined({128259, 128000}, "<custom_token_2>", {128009, 128260, 128261, 128257}));
}

TEST(PromptBuilder, TagsOfTheFamilyAreTokensWhereTheVocabularyHasThem) {
  TokenizerJson json;
  json.add_token(300, "<s>");
  json.add_token(301, "<laugh>");
  json.add_token(302, "<gasp>");
  json.add_token(303, "<c>");
  for (TokenId id = 304; id < 303 + 7; ++id) json.add_token(id, "<c" + std::to_string(id) + ">");
  const Result<Tokenizer> tokenizer = json.parse();
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  PromptFamily family;
  family.name = "f";
  family.text_template = "{voice} {text}";
  family.first_code = "<c>";
  family.stop = {"<s>"};
  family.tags = {"<laugh>", "<sigh>"};
  const Result<PromptBuilder> builder = PromptBuilder::bind(family, *tokenizer, 1);
  ASSERT_TRUE(builder) << builder.error().message;
  EXPECT_EQ(build(*builder, "v", "a<laugh>b<gasp><s>"),
            (Ids{'v', ' ', 'a', 301, 'b', '<', 'g', 'a', 's', 'p', '>', '<', 's', '>'}));
  EXPECT_EQ(build(*builder, "<laugh>", "a"), (Ids{'<', 'l', 'a', 'u', 'g', 'h', '>', ' ', 'a'}));
}

TEST(PromptBuilder, NamesTheFieldThatIsNoUtf8) {
  const Result<PromptBuilder> builder = bind(builtin("maya1"));
  for (const auto& [voice, text, description, message] :
       std::initializer_list<std::array<std::string, 4>>{
           {"\xFF", "Hi", "d", "voice is not valid UTF-8 at byte 0"},
           {"man", "Hi \xFF", "d", "text is not valid UTF-8 at byte 3"},
           {"man", "Hi", "d\xFF", "description is not valid UTF-8 at byte 1"}}) {
    Ids ids;
    const Status status = builder->build(voice, text, description, ids);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(status.error().message, message);
  }
}

TEST(PromptBuilder, BindNamesWhatTheTokenizerLacks) {
  struct Case {
    std::function<void(PromptFamily&)> spoil;
    const char* message;
  };
  for (const Case& one : std::initializer_list<Case>{
           {[](PromptFamily& f) { f.prefix.push_back("<nope>"); },
            "needs the token '<nope>', which the tokenizer lacks"},
           {[](PromptFamily& f) { f.suffix.push_back("<nope>"); }, "needs the token '<nope>'"},
           {[](PromptFamily& f) { f.first_code = "<nope>"; }, "needs the token '<nope>'"},
           {[](PromptFamily& f) { f.first_code = "<custom_token_1000>"; },
            "a codebook of 4096 needs ids 129256 to 157927, but the vocabulary ends at 156939"},
           {[](PromptFamily& f) { f.stop = {"<nope>"}; }, "none of the tokens that end the speech"},
           {[](PromptFamily& f) { f.stop.clear(); }, "none of the tokens that end the speech"},
           {[](PromptFamily& f) { f.stop = {"<custom_token_10>"}; },
            "token 128266 of the prompt lies among the codes 128266 to 156937"},
           {[](PromptFamily& f) { f.suffix.push_back("<custom_token_28681>"); },
            "token 156937 of the prompt lies among the codes"}}) {
    PromptFamily family = builtin("orpheus");
    one.spoil(family);
    const Result<PromptBuilder> builder = bind(family);
    ASSERT_FALSE(builder) << one.message;
    EXPECT_EQ(builder.error().code, ErrorCode::kDataCorrupt);
    EXPECT_NE(builder.error().message.find(one.message), std::string::npos)
        << builder.error().message;
  }
  EXPECT_FALSE(PromptBuilder::bind(builtin("orpheus"), vocabulary(), 0));
}

TEST(PromptBuilder, LeavesOutStopTokensThatTheVocabularyLacks) {
  PromptFamily family = builtin("orpheus");
  family.stop = {"<nope>", "<custom_token_2>", "<custom_token_2>"};
  const Result<PromptBuilder> builder = bind(family);
  ASSERT_TRUE(builder) << builder.error().message;
  EXPECT_EQ(builder->layout().stop_ids, Ids{128258});
}

// The goldens were prompted by the reference: the same ids from the demo and the tiny voice.
TEST(PromptBuilder, EqualsThePromptsOfTheGoldens) {
  for (const auto& [voice, golden, codebook] :
       {std::tuple{demo_voice(), "tests/golden/demo/golden.json", 1024},
        {tiny_voice(), "tests/golden/tiny/golden.json", 64}}) {
    const Tokenizer tokenizer = load_tokenizer(voice / "lm/tokenizer.json");
    const Result<PromptFamily> family = detect_family(tokenizer);
    ASSERT_TRUE(family) << family.error().message;
    const Result<PromptBuilder> builder = PromptBuilder::bind(*family, tokenizer, codebook);
    ASSERT_TRUE(builder) << builder.error().message;
    const auto id = [&](const char* name) { return *tokenizer.find(name); };
    const boost::json::value about = read_json(source_dir() / golden);
    for (const boost::json::value& prompt : about.at("prompts").as_array()) {
      const std::string speaker = text_of(prompt.at(0)), text = text_of(prompt.at(1));
      Ids want = {id("<custom_token_3>")};
      want.push_back(id("<|begin_of_text|>"));
      const Ids words = encode(tokenizer, speaker + ": " + text);
      want.insert(want.end(), words.begin(), words.end());
      for (const char* name :
           {"<|eot_id|>", "<custom_token_4>", "<custom_token_5>", "<custom_token_1>"})
        want.push_back(id(name));
      EXPECT_EQ(build(*builder, speaker, text), want);
    }
  }
}

}  // namespace
}  // namespace lyre::test
