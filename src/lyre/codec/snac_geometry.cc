#include "lyre/codec/snac_geometry.h"

#include <algorithm>

namespace lyre {
namespace {

// Columns on each side that the residual units of a block look at.
constexpr int64_t kUnitsReach = kDepthwiseReach * (kDilations[0] + kDilations[1] + kDilations[2]);

}  // namespace

SampleRange influence_of_latent(const SnacConfig& config) {
  SampleRange r{-kDepthwiseReach, kDepthwiseReach};
  for (const int stride : config.decoder_rates) {
    // Input t reaches outputs t * stride - cut ... t * stride - cut + 2 * stride - 1.
    r.first = r.first * stride - upsample_cut(stride) - kUnitsReach;
    r.last = r.last * stride - upsample_cut(stride) + 2 * stride - 1 + kUnitsReach;
  }
  return {r.first - kDepthwiseReach, r.last + kDepthwiseReach};
}

SampleRange support_of_latent(const SnacConfig& config) {
  // From the latent back to the samples.
  SampleRange r{-kDepthwiseReach, kDepthwiseReach};
  for (auto stride = config.encoder_rates.rbegin(); stride != config.encoder_rates.rend();
       ++stride) {
    // Output t reads inputs t * stride - padding ... t * stride - padding + 2 * stride - 1.
    r.first = r.first * *stride - downsample_padding(*stride) - kUnitsReach;
    r.last = r.last * *stride - downsample_padding(*stride) + 2 * *stride - 1 + kUnitsReach;
  }
  return {r.first - kDepthwiseReach, r.last + kDepthwiseReach};
}

int64_t final_samples(const SnacConfig& config, int64_t latents) {
  // The same chain over numbers of columns; at the very start it is cut at zero layer by layer.
  int64_t columns = std::max<int64_t>(0, latents - kDepthwiseReach);
  for (const int stride : config.decoder_rates) {
    columns = std::max<int64_t>(0, columns * stride - upsample_cut(stride));
    for (const int dilation : kDilations) {
      columns = std::max<int64_t>(0, columns - kDepthwiseReach * dilation);
    }
  }
  return std::max<int64_t>(0, columns - kDepthwiseReach);
}

int64_t final_delay_samples(const SnacConfig& config) { return -influence_of_latent(config).first; }

}  // namespace lyre
