#include "lyre/codec/snac_geometry.h"

#include <gtest/gtest.h>

#include <cmath>

#include "codec/golden_file.h"
#include "codec/streaming.h"
#include "lyre/codec/reference/snac_decode.h"

namespace lyre {
namespace {

SnacConfig public_24khz() {
  SnacConfig c;
  c.decoder_rates = {8, 8, 4, 2};
  c.vq_strides = {4, 2, 1};
  return c;
}

TEST(SnacGeometry, PublicModel) {
  const SnacConfig c = public_24khz();
  EXPECT_EQ(c.samples_per_latent(), 512);
  EXPECT_EQ(c.samples_per_frame(), 2048);
  EXPECT_EQ(influence_of_latent(c).first, -4757);
  EXPECT_EQ(influence_of_latent(c).last, 5268);
  EXPECT_EQ(final_delay_samples(c), 4757);
}

// With k latents known after frame f, samples up to offset -2710 + 512 k of frame f are final:
// after the frame itself none, with one more frame up to -662, with two 1386, with three all.
TEST(SnacGeometry, LastFinalSampleOfAFrame) {
  const SnacConfig c = public_24khz();
  for (const int64_t f : {10, 11, 500}) {
    const auto last_offset = [&](int64_t k) {
      return final_samples(c, 4 * (f + 1) + k) - 1 - 2048 * f;
    };
    for (int64_t k = 0; k < 16; ++k) EXPECT_EQ(last_offset(k), -2710 + 512 * k);
    EXPECT_EQ(last_offset(4), -662);
    EXPECT_EQ(last_offset(8), 1386);
    EXPECT_GE(last_offset(12), 2047);
  }
}

TEST(SnacGeometry, NothingIsFinalAtTheVeryStart) {
  const SnacConfig c = public_24khz();
  EXPECT_EQ(final_samples(c, 0), 0);
  EXPECT_EQ(final_samples(c, 4), 0);
  EXPECT_EQ(final_samples(c, 8), 0);
  EXPECT_EQ(final_samples(c, 12), 12 * 512 - 4757);
}

// The arithmetic against the network: change one code, see which samples change.
TEST(SnacGeometry, AgreesWithWhatTheDecoderDoes) {
  const SnacDecoderWeights w = *load_snac_decoder(test::codec_folder("tiny"));
  const SnacConfig& c = w.config;
  auto frames = test::random_frames(24, c.codebook_size, 5);
  const auto before = reference::decode(w, frames, nullptr);
  constexpr int kFrame = 12, kSlot = 3;  // finest level, second latent of the frame
  int32_t& code = frames[kFrame].codes[kSlot];
  code = (code + 1) % c.codebook_size;
  const auto after = reference::decode(w, frames, nullptr);
  const int64_t start = (int64_t{kFrame} * c.latents_per_frame() + 1) * c.samples_per_latent();
  int64_t first = -1, last = -1;
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i] == after[i]) continue;
    if (first < 0) first = static_cast<int64_t>(i);
    last = static_cast<int64_t>(i);
  }
  const SampleRange range = influence_of_latent(c);
  EXPECT_GE(first - start, range.first);
  EXPECT_LE(last - start, range.last);
  // The outermost taps may fall below float rounding, but not by much.
  EXPECT_NEAR(static_cast<double>(first - start), static_cast<double>(range.first), 60);
  EXPECT_NEAR(static_cast<double>(last - start), static_cast<double>(range.last), 60);
}

}  // namespace
}  // namespace lyre
