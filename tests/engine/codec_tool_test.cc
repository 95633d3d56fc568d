#include "lyre/engine/codec_tool.h"

#include <cmath>

#include <gtest/gtest.h>

#include "support/paths.h"

namespace lyre {
namespace {

CodecTool open_tiny() {
  auto tool = CodecTool::open(test::tiny_voice() / "codec", BackendChoice::kCpu, 1);
  if (!tool) ADD_FAILURE() << tool.error().message;
  return *std::move(tool);
}

std::vector<float> tone(size_t samples) {
  std::vector<float> pcm(samples);
  for (size_t i = 0; i < samples; ++i) pcm[i] = 0.3f * std::sin(static_cast<float>(i) * 0.05f);
  return pcm;
}

TEST(CodecTool, TellsItsSizes) {
  const CodecTool tool = open_tiny();
  EXPECT_EQ(tool.sample_rate_hz(), 24000);
  EXPECT_EQ(tool.codebook_size(), 64);
  EXPECT_EQ(tool.samples_per_frame(), 480);
}

TEST(CodecTool, SpeechToCodesAndBack) {
  CodecTool tool = open_tiny();
  const auto frames = tool.encode(tone(5 * 480 - 100), 24000);
  ASSERT_TRUE(frames) << frames.error().message;
  ASSERT_EQ(frames->size(), 5u) << "the last frame is filled up";
  for (const FrameCodes& frame : *frames) {
    for (const int32_t code : frame) {
      EXPECT_GE(code, 0);
      EXPECT_LT(code, 64);
    }
  }
  const auto plain = tool.decode(*frames, std::nullopt);
  const auto noisy = tool.decode(*frames, 7);
  const auto noisy_again = tool.decode(*frames, 7);
  ASSERT_TRUE(plain && noisy && noisy_again);
  EXPECT_EQ(plain->size(), 5u * 480);
  EXPECT_EQ(*noisy, *noisy_again);
  EXPECT_NE(*plain, *noisy);
}

TEST(CodecTool, NothingIsNothing) {
  CodecTool tool = open_tiny();
  const auto samples = tool.decode({}, std::nullopt);
  ASSERT_TRUE(samples) << samples.error().message;
  EXPECT_TRUE(samples->empty());
}

TEST(CodecTool, AnotherRateIsRefusedNotResampled) {
  CodecTool tool = open_tiny();
  const auto frames = tool.encode(tone(480), 44100);
  ASSERT_FALSE(frames);
  EXPECT_EQ(frames.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(frames.error().message.find("expected 24000 Hz"), std::string::npos);
}

// B2: codes end below the codebook size, 4096 of the peers' checks is one too many.
TEST(CodecTool, PeerFaultB2ACodeOutOfRangeIsRefusedAndTheToolGoesOn) {
  CodecTool tool = open_tiny();
  std::vector<FrameCodes> frames(3);
  frames[1][4] = 64;
  const auto refused = tool.decode(frames, std::nullopt);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  frames[1][4] = 63;
  EXPECT_TRUE(tool.decode(frames, std::nullopt));
}

TEST(CodecTool, AFolderThatIsNoCodec) {
  const auto missing = CodecTool::open("/nonexistent-folder");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "codec: /nonexistent-folder is not a folder");
  EXPECT_FALSE(CodecTool::open(test::source_dir() / "tests"));
}

}  // namespace
}  // namespace lyre
