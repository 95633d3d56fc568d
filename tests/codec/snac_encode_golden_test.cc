// Speech to codes against PyTorch's snac: stages on a short signal of odd length, codes on a longer
// one. A code may only differ where the two nearest codebook rows are closer to each other than
// float rounding can tell, and it is counted.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "codec/golden_file.h"
#include "lyre/codec/reference/snac_encode.h"
#include "lyre/codec/snac_geometry.h"
#include "support/compare.h"

namespace lyre {
namespace {

// Relative to the stage's root mean square; measured 7e-7 to 9.3e-6.
constexpr double kStageTolerance = 3e-5;
// `margin`: difference of the two smallest distances, between unit vectors.
constexpr float kTie = 1e-5f;

struct Mismatches {
  int clear = 0;  // although the margin is wide
  int ties = 0;
};

// The first frames_to_compare frames.
Mismatches compare_codes(const test::GoldenFile& golden, const std::string& prefix,
                         const std::vector<CodeFrame>& frames, size_t frames_to_compare) {
  Mismatches found;
  for (int level = 0; level < 3; ++level) {
    const auto expected = golden.integers(prefix + "codes" + std::to_string(level));
    const auto margin = golden.floats(prefix + "margin" + std::to_string(level));
    size_t i = 0;
    for (const CodeFrame& frame : std::span(frames).first(frames_to_compare)) {
      for (size_t slot = 0; slot < frame.codes.size(); ++slot) {
        if (kSlotLevel[slot] != level) continue;
        if (frame.codes[slot] != expected[i]) ++(margin[i] < kTie ? found.ties : found.clear);
        ++i;
      }
    }
    EXPECT_EQ(i, frames_to_compare << level);
  }
  return found;
}

class SnacEncodeGolden : public testing::TestWithParam<std::string> {
 protected:
  test::GoldenFile golden_{GetParam()};
  SnacEncoderWeights weights_ = *load_snac_encoder(test::codec_folder(GetParam()));
};

TEST_P(SnacEncodeGolden, EveryStage) {
  const std::string prefix = "codec.encode.stage.";
  int compared = 0;
  const auto frames = reference::encode(
      weights_, golden_.floats(prefix + "pcm"),
      [&](std::string_view stage, const reference::Signal& x) {
        const std::string name = prefix + std::string(stage);
        for (const std::string& golden : golden_.names(name)) {
          if (golden != name && !golden.starts_with(name + ".")) continue;
          ++compared;
          EXPECT_TRUE(test::all_close(x.values, golden_.floats(golden), kStageTolerance)) << golden;
        }
      });
  EXPECT_EQ(compared, static_cast<int>(weights_.blocks.size()) + 5);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(compare_codes(golden_, prefix, frames, 2).clear, 0);
}

// Six frames and as many more as a code looks ahead. The fast encoder takes the whole speech.
TEST_P(SnacEncodeGolden, Codes) {
  constexpr size_t kCompared = 6;
  const auto frame_samples = static_cast<size_t>(weights_.config.samples_per_frame());
  const auto ahead = static_cast<size_t>(support_of_latent(weights_.config).last) / frame_samples;
  auto pcm = golden_.floats("codec.encode.pcm");
  pcm = pcm.first(std::min(pcm.size(), (kCompared + ahead + 1) * frame_samples));
  const Mismatches found =
      compare_codes(golden_, "codec.encode.", reference::encode(weights_, pcm), kCompared);
  RecordProperty("ties", found.ties);
  EXPECT_EQ(found.clear, 0);
  EXPECT_LE(found.ties, 1);
}

INSTANTIATE_TEST_SUITE_P(Voices, SnacEncodeGolden, testing::Values("demo", "tiny"),
                         [](const auto& voice) { return voice.param; });

}  // namespace
}  // namespace lyre
