// Backends against the reference, push by push: same numbers of final and preview samples, same
// values within the table.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "codec/golden_file.h"
#include "codec/streaming.h"
#include "lyre/codec/cpu/cpu_codec.h"
#include "lyre/codec/reference/reference_codec.h"
#include "support/compare.h"

namespace lyre {
namespace {

// Relative to the root mean square of the reference's samples. The PCM passes some 30 products of
// up to 2 x 1024 inputs in another order, and a faster sine.
struct Tolerance {
  const char* backend;
  const char* codec;
  double relative;
};
constexpr Tolerance kTolerances[] = {
    {"cpu", "demo", 2e-5},  // measured 4.8e-6
    {"cpu", "tiny", 5e-5},  // measured 1.5e-5
};

using Backend = std::unique_ptr<Codec> (*)(const SnacDecoderWeights&, ThreadPool&);

class CodecDifferential : public testing::TestWithParam<Tolerance> {};

TEST_P(CodecDifferential, EveryPush) {
  const auto weights = load_snac_decoder(test::codec_folder(GetParam().codec));
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  ThreadPool threads(1);
  const auto reference = make_reference_codec(*weights, 2, 8);
  const auto fast = make_cpu_codec(*weights, {2, 8}, threads);
  const auto frames = test::random_frames(4, weights->config.codebook_size, 21);
  const StreamOptions options{1234567890123, true};
  const StreamId a = *reference->open(options), b = *fast->open(options);
  double worst = 0;
  const std::vector<size_t> pieces = {1, 2, 1, 0};
  size_t done = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const std::span<const CodeFrame> fresh =
        std::span<const CodeFrame>(frames).subspan(done, pieces[i]);
    done += pieces[i];
    const bool finish = i + 1 == pieces.size();
    const PcmSpan expected = test::push_one(*reference, {a, fresh, finish, !finish});
    const PcmSpan actual = test::push_one(*fast, {b, fresh, finish, !finish});
    ASSERT_EQ(actual.final_samples.size(), expected.final_samples.size());
    ASSERT_EQ(actual.preview_samples.size(), expected.preview_samples.size());
    for (const auto& [x, y] : {std::pair{actual.final_samples, expected.final_samples},
                               std::pair{actual.preview_samples, expected.preview_samples}}) {
      if (y.empty()) continue;
      EXPECT_TRUE(test::all_close(x, y, GetParam().relative)) << "push " << i;
      worst = std::max(worst, test::difference(x, y).relative);
    }
  }
  RecordProperty("relative", std::to_string(worst));
}

INSTANTIATE_TEST_SUITE_P(Backends, CodecDifferential, testing::ValuesIn(kTolerances),
                         [](const auto& c) {
                           return std::string(c.param.backend) + "_" + c.param.codec;
                         });

}  // namespace
}  // namespace lyre
