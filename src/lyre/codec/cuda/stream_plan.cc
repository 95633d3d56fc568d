#include "lyre/codec/cuda/stream_plan.h"

namespace lyre::snac_cuda {
namespace {

constexpr int64_t kStateAlignment = 128;

// Places one layer's rows in the state.
int64_t reserve(int64_t& bytes, int64_t wanted) {
  const int64_t offset = bytes;
  bytes += (wanted + kStateAlignment - 1) / kStateAlignment * kStateAlignment;
  return offset;
}

}  // namespace

StreamPlan::StreamPlan(const SnacConfig& config) {
  constexpr int64_t kFloat = 4, kHalf = 2, kHeadRows = 2 * kDepthwiseReach;
  latent_rows = config.latents_per_frame();
  latent_channels = padded_channels(config.latent_dim);
  latent_delay = kDepthwiseReach;
  latent_state_offset = reserve(state_bytes, kHeadRows * latent_channels * kFloat);
  decoder_channels = padded_channels(config.decoder_dim);
  delay = latent_delay;
  int rows = latent_rows, channels = decoder_channels;
  for (size_t index = 0; index < config.decoder_rates.size(); ++index) {
    BlockPlan b;
    b.in_rows = rows;
    b.in_channels = channels;
    b.stride = config.decoder_rates[index];
    b.rows = rows = b.in_rows * b.stride;
    b.channels = channels = padded_channels(config.decoder_channels(static_cast<int>(index)));
    b.delay = delay = delay * b.stride + upsample_cut(b.stride);
    b.state_offset = reserve(state_bytes, b.in_channels * kHalf);
    for (int u = 0; u < kResidualUnits; ++u) {
      UnitPlan& unit = b.units[u];
      unit.dilation = kDilations[u];
      unit.delay = delay = delay + kDepthwiseReach * unit.dilation;
      unit.state_offset = reserve(state_bytes, int64_t{unit.kept_rows()} * channels * kFloat);
    }
    blocks.push_back(b);
  }
  head_state_offset = reserve(state_bytes, kHeadRows * channels * kHalf);
  samples = rows;
  delay += kDepthwiseReach;
  drain_slots = static_cast<int>((delay + samples - 1) / samples);
}

}  // namespace lyre::snac_cuda
