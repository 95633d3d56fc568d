#include "lyre/codec/snac_encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "codec/golden_file.h"
#include "codec/streaming.h"
#include "lyre/codec/reference/snac_encode.h"

namespace lyre {
namespace {

// Codes of `actual` that differ from `expected`.
int differing(const std::vector<CodeFrame>& actual, const std::vector<CodeFrame>& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  int count = 0;
  for (size_t f = 0; f < std::min(actual.size(), expected.size()); ++f) {
    for (size_t slot = 0; slot < CodeFrame::kSlots; ++slot) {
      count += actual[f].codes[slot] != expected[f].codes[slot];
    }
  }
  return count;
}

// A chirp with a little noise: no two frames alike.
std::vector<float> signal(size_t samples) {
  std::vector<float> pcm(samples);
  for (size_t i = 0; i < samples; ++i) {
    const double t = static_cast<double>(i) / 24000;
    const auto words = philox4x32({static_cast<uint32_t>(i), 0, 0, 0}, {1, 2});
    pcm[i] = static_cast<float>(0.4 * std::sin(2 * 3.14159265 * (150 + 90 * t) * t)) +
             0.1f * (uniform_from_bits(words[0]) - 0.5f);
  }
  return pcm;
}

TEST(SnacEncoder, AgreesWithTheReferenceForAnyLength) {
  ThreadPool threads(1);
  const auto weights = *load_snac_encoder(test::codec_folder("tiny"));
  SnacEncoder encoder(weights, threads);
  for (const size_t samples : {0u, 1u, 479u, 480u, 481u, 5000u, 12345u}) {
    const auto pcm = signal(samples);
    const auto frames = encoder.encode(pcm);
    ASSERT_TRUE(frames.ok());
    EXPECT_EQ(frames->size(), (samples + 479) / 480);
    EXPECT_EQ(differing(*frames, reference::encode(weights, pcm)), 0) << samples;
  }
}

// 150 frames are three windows: no code may tell where they were cut.
TEST(SnacEncoder, WindowsLeaveNoTrace) {
  ThreadPool threads(2);
  const auto weights = *load_snac_encoder(test::codec_folder("tiny"));
  SnacEncoder encoder(weights, threads);
  const auto pcm = signal(150 * 480 - 7);
  const auto frames = encoder.encode(pcm);
  ASSERT_TRUE(frames.ok());
  EXPECT_EQ(differing(*frames, reference::encode(weights, pcm)), 0);
}

TEST(SnacEncoder, GoldenSpeechOfTheDemoVoice) {
  ThreadPool threads(1);
  const test::GoldenFile golden("demo");
  const auto encoder = SnacEncoder::open(test::codec_folder("demo"), threads);
  ASSERT_TRUE(encoder.ok()) << encoder.error().message;
  const auto frames = (*encoder)->encode(golden.floats("codec.encode.pcm"));
  ASSERT_TRUE(frames.ok());
  const auto coarse = golden.integers("codec.encode.codes0");
  const auto middle = golden.integers("codec.encode.codes1");
  const auto fine = golden.integers("codec.encode.codes2");
  std::vector<CodeFrame> expected(coarse.size());
  for (size_t f = 0; f < expected.size(); ++f) {
    expected[f].codes = {coarse[f],         middle[2 * f],   fine[4 * f],    fine[4 * f + 1],
                         middle[2 * f + 1], fine[4 * f + 2], fine[4 * f + 3]};
  }
  EXPECT_EQ(differing(*frames, expected), 0);
}

TEST(SnacEncoder, RefusesSamplesThatAreNoNumbers) {
  ThreadPool threads(1);
  SnacEncoder encoder(*load_snac_encoder(test::codec_folder("tiny")), threads);
  std::vector<float> pcm(100, 0.0f);
  pcm[42] = std::numeric_limits<float>::quiet_NaN();
  const auto frames = encoder.encode(pcm);
  ASSERT_FALSE(frames.ok());
  EXPECT_EQ(frames.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(frames.error().message.find("sample 42"), std::string::npos);
}

}  // namespace
}  // namespace lyre
