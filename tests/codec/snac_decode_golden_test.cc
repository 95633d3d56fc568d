// The reference decoder against PyTorch's snac, stage by stage, with the noise that PyTorch drew.
#include "lyre/codec/reference/snac_decode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "codec/golden_file.h"
#include "support/compare.h"

namespace lyre {
namespace {

// Relative to the stage's root mean square; measured 5e-7 to 4.4e-6 (demo), 1.6e-5 (tiny).
constexpr double kStageTolerance = 5e-5;

class SnacDecodeGolden : public testing::TestWithParam<std::string> {
 protected:
  test::GoldenFile golden_{GetParam()};
  SnacDecoderWeights weights_ = *load_snac_decoder(test::codec_folder(GetParam()));

  // Every stage of one golden with recorded noise.
  void check_stages(const std::string& prefix) {
    const auto frames = golden_.frames(prefix + "frames");
    const auto noise = [&](int block, std::span<float> out) {
      const auto recorded = golden_.floats(prefix + "noise." + std::to_string(block));
      ASSERT_EQ(recorded.size(), out.size());
      std::copy(recorded.begin(), recorded.end(), out.begin());
    };
    int compared = 0;
    const auto pcm = reference::decode(
        weights_, frames, noise, [&](std::string_view stage, const reference::Signal& x) {
          const std::string name = prefix + std::string(stage);
          // Snake before the head is not among the goldens.
          for (const std::string& golden : golden_.names(name)) {
            if (golden != name && !golden.starts_with(name + ".")) continue;
            ++compared;
            EXPECT_TRUE(test::all_close(x.values, golden_.floats(golden), kStageTolerance))
                << golden;
          }
        });
    EXPECT_EQ(compared, 9);
    EXPECT_EQ(pcm.size(), frames.size() * static_cast<size_t>(weights_.config.samples_per_frame()));
  }
};

TEST_P(SnacDecodeGolden, EveryStageWithRecordedNoise) { check_stages("codec.stage."); }

// Fewer frames than the receptive field is wide: head and tail overlap.
TEST_P(SnacDecodeGolden, EveryStageOfThreeFrames) { check_stages("codec.ragged."); }

// Whole utterances of the demo voice are the business of the fast backend's golden test.
TEST(SnacDecodeGoldenPcm, TinyVoiceWithoutNoise) {
  const test::GoldenFile golden("tiny");
  const SnacDecoderWeights weights = *load_snac_decoder(test::codec_folder("tiny"));
  for (int i = 0; i < 3; ++i) {
    const std::string name = "codec." + std::to_string(i) + ".";
    const auto pcm = reference::decode(weights, golden.frames(name + "frames"), nullptr);
    EXPECT_TRUE(test::all_close(pcm, golden.floats(name + "pcm_no_noise"), kStageTolerance)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Voices, SnacDecodeGolden, testing::Values("demo", "tiny"),
                         [](const auto& voice) { return voice.param; });

}  // namespace
}  // namespace lyre
