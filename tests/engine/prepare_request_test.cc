#include "lyre/engine/prepare_request.h"

#include <gtest/gtest.h>

#include "engine/fake_models.h"

namespace lyre {
namespace {

constexpr SpeechLimits kLimits = {
    .max_sequence_tokens = 1000, .vocabulary = 700, .tokens_per_second = 82.03};

class PrepareRequestTest : public testing::Test {
 protected:
  Result<PreparedRequest> prepare(SynthesisRequest request) {
    return prepare_request(request, config_, fakes_.parts.prompts, kLimits);
  }
  Error refusal(SynthesisRequest request) {
    const auto prepared = prepare(std::move(request));
    if (prepared) {
      ADD_FAILURE() << "accepted";
      return {};
    }
    return prepared.error();
  }
  void expect_refusal(SynthesisRequest request, const std::string& message) {
    const Error error = refusal(std::move(request));
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(error.message, message);
  }

  EngineConfig config_;
  test::FakeParts fakes_;
};

SynthesisRequest text(std::string words) {
  SynthesisRequest request;
  request.text = std::move(words);
  return request;
}

TEST_F(PrepareRequestTest, BuildsOnePromptForAShortText) {
  SynthesisRequest request = text("Hello.");
  request.sampling.seed = 7;
  const auto prepared = prepare(request);
  ASSERT_TRUE(prepared) << prepared.error().message;
  EXPECT_EQ(prepared->voice, "ada");
  EXPECT_EQ(prepared->sampling.seed, 7u);
  ASSERT_EQ(prepared->segments.size(), 1u);
  EXPECT_EQ(prepared->segments[0].prompt_tokens, 6);
  EXPECT_EQ(prepared->prompt_ids, (std::vector<TokenId>{'H', 'e', 'l', 'l', 'o', '.'}));
}

TEST_F(PrepareRequestTest, LongTextIsCutIntoSegmentsWithoutTheBlanksBetweenThem) {
  config_.segment_characters = 30;
  const auto prepared =
      prepare(text("  The first sentence is here. \n The second sentence is there.  "));
  ASSERT_TRUE(prepared) << prepared.error().message;
  std::vector<std::string> segments;
  for (const SegmentPlan& plan : prepared->segments) {
    const auto first = prepared->prompt_ids.begin() + static_cast<std::ptrdiff_t>(plan.first_id);
    segments.emplace_back(first, first + plan.prompt_tokens);
  }
  EXPECT_EQ(segments, (std::vector<std::string>{"The first sentence is here.",
                                                "The second sentence is there."}));
}

TEST_F(PrepareRequestTest, RunsOfPunctuationDoNotReachTheModel) {
  const auto prepared = prepare(text("Stop!!!!  Now."));
  ASSERT_TRUE(prepared) << prepared.error().message;
  EXPECT_EQ(std::string(prepared->prompt_ids.begin(), prepared->prompt_ids.end()), "Stop! Now.");
}

TEST_F(PrepareRequestTest, NothingToSpeak) {
  expect_refusal(text(""), "text: expected something to speak, found an empty text");
  expect_refusal(text(" \n\t\u00a0\u200b"), "text: expected something to speak, found blanks only");
}

TEST_F(PrepareRequestTest, TooLongNamesTheLimit) {
  config_.max_text_bytes = 20;
  EXPECT_TRUE(prepare(text("Exactly twenty bytes")));
  expect_refusal(text("These are twenty-one."), "text: expected at most 20 bytes, found 21");
}

TEST_F(PrepareRequestTest, InvalidUtf8NamesTheOffset) {
  expect_refusal(text("ab\xFF"), "text: expected UTF-8, found none at byte 2");
  SynthesisRequest described = text("Hello.");
  described.description = "\xC0\x80";
  expect_refusal(described, "description: expected UTF-8, found none at byte 0");
}

// B12, B14, B17: an unknown voice is an error of the request, before any audio, and names those
// that exist; not an abort, not 200 with an empty body.
TEST_F(PrepareRequestTest, PeerFaultB12B14B17UnknownVoiceListsTheVoices) {
  SynthesisRequest request = text("Hello.");
  request.voice = "tara";
  expect_refusal(request, "voice: expected one of ada, max, found 'tara'");
  request.voice = "max";
  const auto prepared = prepare(request);
  ASSERT_TRUE(prepared);
  EXPECT_EQ(prepared->voice, "max");
}

TEST_F(PrepareRequestTest, WithoutAListAnyVoiceIsGood) {
  fakes_.parts.prompts.voices.clear();
  fakes_.parts.prompts.default_voice.clear();
  SynthesisRequest request = text("Hello.");
  request.voice = "jess";
  const auto prepared = prepare(request);
  ASSERT_TRUE(prepared);
  EXPECT_EQ(prepared->voice, "jess");
}

TEST_F(PrepareRequestTest, SamplingOutOfRangeNamesTheField) {
  struct Case {
    const char* field;
    void (*set)(SamplingOverrides&);
  };
  const Case cases[] = {
      {"temperature", [](SamplingOverrides& s) { s.temperature = -1.0f; }},
      {"top_p", [](SamplingOverrides& s) { s.top_p = 1.5f; }},
      {"top_k", [](SamplingOverrides& s) { s.top_k = -1; }},
      {"min_p", [](SamplingOverrides& s) { s.min_p = 1.0f; }},
      {"repetition_penalty", [](SamplingOverrides& s) { s.repetition_penalty = 0.0f; }},
  };
  for (const Case& c : cases) {
    SynthesisRequest request = text("Hello.");
    c.set(request.sampling);
    const Error error = refusal(request);
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_NE(error.message.find(c.field), std::string::npos) << error.message;
  }
}

TEST_F(PrepareRequestTest, MaxTokensBelowAFrameIsRefused) {
  SynthesisRequest request = text("Hello.");
  request.max_tokens = 6;
  expect_refusal(request,
                 "max_tokens: expected at least 7, the tokens of one frame of sound, found 6");
  request.max_tokens = 7;
  EXPECT_TRUE(prepare(request));
}

TEST_F(PrepareRequestTest, ASentenceThatLeavesNoRoomForSpeechIsRefused) {
  const Error error = refusal(text(std::string(501, 'x')));
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_NE(error.message.find("expected a prompt of at most 500 tokens for each sentence, found "
                               "501 for 'xxx"),
            std::string::npos)
      << error.message;
}

TEST_F(PrepareRequestTest, IdsOutsideTheModelNeverReachIt) {
  fakes_.parts.prompts.build = [](std::string_view, std::string_view, std::string_view,
                                  std::vector<TokenId>& out) -> Status {
    out.push_back(700);
    return ok_status();
  };
  EXPECT_EQ(refusal(text("Hello.")).code, ErrorCode::kDataCorrupt);
}

TEST_F(PrepareRequestTest, RequestsWithoutASeedDiffer) {
  const auto a = prepare(text("Hello."));
  const auto b = prepare(text("Hello."));
  ASSERT_TRUE(a && b);
  EXPECT_NE(a->sampling.seed, b->sampling.seed);
  EXPECT_LT(a->sampling.seed, uint64_t{1} << 53);
  fakes_.parts.prompts.seeded = true;
  fakes_.parts.prompts.sampling.seed = 5;
  const auto c = prepare(text("Hello."));
  ASSERT_TRUE(c);
  EXPECT_EQ(c->sampling.seed, 5u);
}

TEST_F(PrepareRequestTest, SpeechIsBoundByTheSequenceAndByWhatTheTextCanNeed) {
  const auto brief = prepare(text("Hi"));
  ASSERT_TRUE(brief);
  EXPECT_EQ(brief->segments[0].most_speech_tokens, 739);  // 9 s of 82.03 tokens
  const auto longer = prepare(text(std::string(200, 'x')));
  ASSERT_TRUE(longer);
  EXPECT_EQ(longer->segments[0].most_speech_tokens, 800);
}

}  // namespace
}  // namespace lyre
