// Speech to codes against PyTorch's snac: stages on a short signal of odd length, codes on a longer
// one. A code may only differ where the two nearest codebook rows are closer to each other than
// float rounding can tell, and it is counted.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "codec/golden_file.h"
#include "lyre/codec/reference/snac_encode.h"
#include "support/compare.h"

namespace lyre {
namespace {

constexpr double kStageTolerance = 5e-5;  // relative to the stage's root mean square
// `margin`: difference of the two smallest distances, between unit vectors.
constexpr float kTie = 1e-5f;

struct Mismatches {
  int clear = 0;  // although the margin is wide
  int ties = 0;
};

Mismatches compare_codes(const test::GoldenFile& golden, const std::string& prefix,
                         const std::vector<CodeFrame>& frames) {
  Mismatches found;
  for (int level = 0; level < 3; ++level) {
    const auto expected = golden.integers(prefix + "codes" + std::to_string(level));
    const auto margin = golden.floats(prefix + "margin" + std::to_string(level));
    std::vector<int32_t> actual;
    for (const CodeFrame& frame : frames) {
      for (size_t slot = 0; slot < frame.codes.size(); ++slot) {
        if (kSlotLevel[slot] == level) actual.push_back(frame.codes[slot]);
      }
    }
    EXPECT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
      if (actual[i] != expected[i]) ++(margin[i] < kTie ? found.ties : found.clear);
    }
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
  EXPECT_EQ(compare_codes(golden_, prefix, frames).clear, 0);
}

TEST_P(SnacEncodeGolden, Codes) {
  const auto frames = reference::encode(weights_, golden_.floats("codec.encode.pcm"));
  const Mismatches found = compare_codes(golden_, "codec.encode.", frames);
  RecordProperty("ties", found.ties);
  EXPECT_EQ(found.clear, 0);
  EXPECT_LE(found.ties, 1);
}

INSTANTIATE_TEST_SUITE_P(Voices, SnacEncodeGolden, testing::Values("demo", "tiny"),
                         [](const auto& voice) { return voice.param; });

}  // namespace
}  // namespace lyre
