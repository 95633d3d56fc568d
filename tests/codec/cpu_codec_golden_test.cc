// The fast backend against PyTorch's snac, streamed one frame at a time.
#include "lyre/codec/cpu/cpu_codec.h"

#include <gtest/gtest.h>

#include <string>

#include "codec/golden_file.h"
#include "codec/streaming.h"
#include "support/compare.h"

namespace lyre {
namespace {

// Relative to the root mean square of the utterance, most of which is quieter than its loudest
// sample; measured 4e-6 to 8e-6 (demo) and 1.3e-5 to 1.6e-5 (tiny).
constexpr double kPcmTolerance = 4e-5;

class CpuCodecGolden : public testing::TestWithParam<std::string> {};

TEST_P(CpuCodecGolden, PcmWithoutNoise) {
  const test::GoldenFile golden(GetParam());
  ThreadPool threads(2);
  const auto weights = load_snac_decoder(test::codec_folder(GetParam()));
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  const auto codec = make_cpu_codec(*weights, {}, threads);
  for (int i = 0; i < 3; ++i) {
    const std::string name = "codec." + std::to_string(i) + ".";
    const auto pcm = test::stream_all(*codec, golden.frames(name + "frames"), {0, false}, {1});
    EXPECT_TRUE(test::all_close(pcm, golden.floats(name + "pcm_no_noise"), kPcmTolerance)) << name;
    RecordProperty(
        name + "relative",
        std::to_string(test::difference(pcm, golden.floats(name + "pcm_no_noise")).relative));
  }
}

INSTANTIATE_TEST_SUITE_P(Voices, CpuCodecGolden, testing::Values("demo", "tiny"),
                         [](const auto& voice) { return voice.param; });

}  // namespace
}  // namespace lyre
