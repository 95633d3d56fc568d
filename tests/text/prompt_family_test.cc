#include "lyre/text/prompt_family.h"

#include <algorithm>

#include "lyre/base/embedded.h"
#include "lyre/text/prompt_family_file.h"
#include "text/published_vocabulary.h"

namespace lyre::test {
namespace {

std::vector<std::string> voice_names(const std::vector<Voice>& voices) {
  std::vector<std::string> names;
  for (const Voice& voice : voices) names.push_back(voice.name);
  return names;
}

PromptFamily builtin(const std::string& name) {
  Result<PromptFamily> family = load_family(name);
  EXPECT_TRUE(family) << family.error().message;
  return family ? *std::move(family) : PromptFamily{};
}

TEST(PromptFamily, BuiltInFilesAreGoodAndSayWhereTheyAreFrom) {
  EXPECT_EQ(family_names(), (std::vector<std::string>{"maya1", "orpheus", "orpheus-multilingual",
                                                      "orpheus-pretrained", "svara", "veena"}));
  for (const std::string& name : family_names()) {
    const PromptFamily family = builtin(name);
    EXPECT_EQ(family.name, name);  // the file name is the name
    EXPECT_FALSE(family.description.empty()) << name;
    EXPECT_FALSE(family.source.empty()) << name;
    EXPECT_EQ(family.voices.empty(), family.default_voice.empty()) << name;
    EXPECT_TRUE(family.sampling.temperature && family.sampling.top_p &&
                family.sampling.repetition_penalty)
        << name;
  }
}

TEST(PromptFamily, EmbedsTheFilesOfTheRepository) {
  ASSERT_FALSE(embedded::families().empty());
  for (const embedded::EmbeddedFile& file : embedded::families())
    EXPECT_EQ(file.contents, read_text(source_dir() / "src/lyre/text/families" / file.name));
}

TEST(PromptFamily, HasThePublishedVoices) {
  EXPECT_EQ(voice_names(builtin("orpheus").voices),
            (std::vector<std::string>{"tara", "leah", "jess", "leo", "dan", "mia", "zac", "zoe"}));
  EXPECT_EQ(voice_names(builtin("veena").voices),
            (std::vector<std::string>{"kavya", "agastya", "maitri", "vinaya"}));
  const std::vector<std::string> svara = voice_names(builtin("svara").voices);
  EXPECT_EQ(svara.size(), 38u);
  EXPECT_EQ(std::count(svara.begin(), svara.end(), "Hindi (Female)"), 1);
  const PromptFamily multilingual = builtin("orpheus-multilingual");
  for (const Voice& voice : multilingual.voices) EXPECT_EQ(voice.language.size(), 2u) << voice.name;
  EXPECT_EQ(voice_names(multilingual.voices).size(), 17u);
  EXPECT_TRUE(builtin("orpheus-pretrained").voices.empty());
  for (const Voice& voice : builtin("maya1").voices) EXPECT_FALSE(voice.description.empty());
}

TEST(PromptFamily, HasThePublishedSampling) {
  const SamplingOverrides orpheus = builtin("orpheus").sampling;
  EXPECT_FLOAT_EQ(*orpheus.temperature, 0.6f);
  EXPECT_FLOAT_EQ(*orpheus.top_p, 0.8f);
  EXPECT_FLOAT_EQ(*orpheus.repetition_penalty, 1.3f);
  EXPECT_FALSE(orpheus.top_k);
  EXPECT_EQ(*builtin("svara").sampling.top_k, 40);
  EXPECT_FLOAT_EQ(*builtin("veena").sampling.repetition_penalty, 1.05f);
}

TEST(PromptFamily, UnknownNameListsTheNames) {
  const Result<PromptFamily> family = load_family("orphues");
  ASSERT_FALSE(family);
  EXPECT_EQ(family.error().code, ErrorCode::kNotFound);
  for (const std::string& part : {std::string("'orphues'"), std::string("orpheus-multilingual")})
    EXPECT_NE(family.error().message.find(part), std::string::npos) << family.error().message;
  const Result<PromptFamily> missing = load_family("no/such/family.json");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

TEST(PromptFamily, LoadsAFileByPath) {
  const Result<PromptFamily> family =
      load_family((source_dir() / "src/lyre/text/families/veena.json").string());
  ASSERT_TRUE(family) << family.error().message;
  EXPECT_EQ(family->name, "veena");
}

TEST(PromptFamily, DetectsTheMostSpecific) {
  const auto detected = [](const Tokenizer& tokenizer) {
    const Result<PromptFamily> family = detect_family(tokenizer);
    return family ? family->name : family.error().message;
  };
  EXPECT_EQ(detected(load_tokenizer(demo_voice() / "lm/tokenizer.json")), "orpheus");
  EXPECT_EQ(detected(load_tokenizer(tiny_voice() / "lm/tokenizer.json")), "orpheus");
  EXPECT_EQ(detected(published_vocabulary()), "orpheus");
  EXPECT_EQ(detected(published_vocabulary(/*veena=*/true)), "veena");
  const Result<Tokenizer> text_only = TokenizerJson().parse();
  const Result<PromptFamily> none = detect_family(*text_only);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  EXPECT_NE(none.error().message.find("svara"), std::string::npos);
}

const char* const kGoodFamily =
    R"({"name":"n","text_template":"{text}","first_code":"<c>","stop":["<s>"])";

TEST(PromptFamily, NamesTheKeyThatIsWrong) {
  ASSERT_TRUE(parse_family_file(std::string(kGoodFamily) + R"(,"//":["any","thing"]})", "f.json"));
  for (const auto& [member, message] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"("prefxi":[])", "f.json: unknown key 'prefxi'; known are name, description"},
           {R"("prefix":"<a>")", "f.json: prefix: expected an array of strings"},
           {R"("suffix":[""])", "f.json: suffix: expected an array of strings that are not empty"},
           {R"("detect":[1])", "f.json: detect: expected an array of strings"},
           {R"("description":1)", "f.json: description: expected a string"},
           {R"("sampling":[])", "f.json: sampling: expected an object"},
           {R"("sampling":{"temprature":1})", "f.json: sampling: unknown key 'temprature'"},
           {R"("sampling":{"temperature":-1})", "f.json: sampling: temperature: expected a number"},
           {R"("sampling":{"top_p":0})", "f.json: sampling: top_p: expected a number above 0"},
           {R"("sampling":{"top_p":"1"})", "f.json: sampling: top_p: expected a number"},
           {R"("sampling":{"top_k":-1})", "f.json: sampling: top_k: expected a whole number"},
           {R"("sampling":{"top_k":1.5})", "f.json: sampling: top_k: expected a whole number"},
           {R"("sampling":{"top_k":9999999999})",
            "f.json: sampling: top_k: expected a whole number"},
           {R"("sampling":{"seed":-1})", "f.json: sampling: seed: expected a whole number"},
           {R"("sampling":{"legal_slots":1})", "f.json: sampling: legal_slots: expected true"},
           {R"("voices":"a")", "f.json: voices: expected an array"},
           {R"("voices":[1])", "f.json: voices[0]: expected an object"},
           {R"("voices":["a",{"name":"b","age":3}])", "f.json: voices[1]: unknown key 'age'"},
           {R"("voices":["a","a"])", "f.json: voices[1]: name: 'a' occurs twice"},
           {R"("voices":[""])", "f.json: voices[0]: name: expected a voice name"},
           {R"("voices":[{}])", "f.json: voices[0]: name: expected a voice name"},
           {R"("voices":["a\nb"])",
            "f.json: voices[0]: name: expected a voice name without control"},
           {R"("voices":["a"],"default_voice":"b")", "f.json: default_voice: 'b' is none of"}}) {
    const Result<PromptFamily> family =
        parse_family_file(std::string(kGoodFamily) + "," + member + "}", "f.json");
    ASSERT_FALSE(family) << member;
    EXPECT_EQ(family.error().code, ErrorCode::kDataCorrupt);
    EXPECT_NE(family.error().message.find(message), std::string::npos) << family.error().message;
  }
}

TEST(PromptFamily, NamesTheKeyThatIsMissing) {
  for (const auto& [text, message] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "f.json: not JSON"},
           {"[]", "f.json: expected an object"},
           {R"({"text_template":"{text}","first_code":"<c>","stop":["<s>"]})",
            "f.json: name: missing"},
           {R"({"name":"n","text_template":"{text}","stop":["<s>"]})",
            "f.json: first_code: missing"},
           {R"({"name":"n","text_template":"{text}","first_code":"<c>"})",
            "f.json: stop: expected at least one"},
           {R"({"name":"n","text_template":"{text}","first_code":"<c>","stop":[]})",
            "f.json: stop: expected at least one"},
           {R"({"name":"n","first_code":"<c>","stop":["<s>"]})",
            "f.json: text_template: expected {text} once"}}) {
    const Result<PromptFamily> family = parse_family_file(text, "f.json");
    ASSERT_FALSE(family) << text;
    EXPECT_NE(family.error().message.find(message), std::string::npos) << family.error().message;
  }
}

TEST(VoiceFile, ReadsNamesAndObjects) {
  const Result<VoiceFile> file = parse_voice_file(
      R"({"family":"orpheus","voices":["anna",{"name":"Martin - Sad","language":"de","gender":"male",
          "description":"d"}],"default_voice":"anna","sampling":{"temperature":0.5,"seed":7}})",
      "v.json");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->family, "orpheus");
  EXPECT_EQ(voice_names(file->voices), (std::vector<std::string>{"anna", "Martin - Sad"}));
  EXPECT_EQ(file->voices[1].language, "de");
  EXPECT_EQ(file->voices[1].gender, "male");
  EXPECT_EQ(file->voices[1].description, "d");
  EXPECT_EQ(file->default_voice, "anna");
  EXPECT_FLOAT_EQ(*file->sampling.temperature, 0.5f);
  EXPECT_EQ(*file->sampling.seed, 7u);
  EXPECT_FALSE(file->sampling.top_p);
  EXPECT_TRUE(parse_voice_file("{}", "v.json"));
  const Result<VoiceFile> typing_error = parse_voice_file(R"({"voice":[]})", "v.json");
  ASSERT_FALSE(typing_error);
  EXPECT_EQ(typing_error.error().message,
            "v.json: unknown key 'voice'; known are family, voices, default_voice, sampling");
}

TEST(VoiceFile, BelongsToTheDemoAndTheTinyVoice) {
  for (const auto& [folder, names] :
       {std::pair{demo_voice(), std::vector<std::string>{"ada", "max"}},
        {tiny_voice(), std::vector<std::string>{"kit", "lou"}}}) {
    const Result<VoiceFile> file = load_voice_file(folder / "lm/voice.json");
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(voice_names(file->voices), names);
    EXPECT_EQ(file->family, "orpheus");
  }
  EXPECT_EQ(load_voice_file("no/such/voice.json").error().code, ErrorCode::kNotFound);
}

// A family file beside the voice file is found from any working folder.
TEST(VoiceFile, FamilyPathIsRelativeToTheFile) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / "voice_file_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "voice.json") << R"({"family":"own.json"})";
  const Result<VoiceFile> file = load_voice_file(folder / "voice.json");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->family, (folder / "own.json").string());
  std::filesystem::remove_all(folder);
}

TEST(VoiceName, IsPrintableAndNotTooLong) {
  for (const std::string& good :
       {std::string("tara"), std::string("Hindi (Female)"), std::string("ऋतिका"),
        std::string("유나"), std::string(64, 'a'), std::string("<custom_token_2>")})
    EXPECT_TRUE(validate_voice_name(good)) << good;
  for (const std::string& bad :
       {std::string(), std::string(65, 'a'), std::string("a\tb"), std::string("a\0b", 3),
        std::string(" a"), std::string("a\u3000"), std::string("a\u202Eb"), std::string("a\u2028b"),
        std::string("a\xFF"), std::string("\u200B")}) {
    const Status status = validate_voice_name(bad);
    ASSERT_FALSE(status) << bad;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace lyre::test
